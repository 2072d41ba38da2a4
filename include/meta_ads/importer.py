"""Imports an Ads Manager export as an account of its own.

`python -m include.meta_ads.importer FILE --account NAME [--date YYYY-MM-DD]`

The file is read to its end before anything is written, and written in one transaction. Importing it twice
changes nothing; importing a newer export of the same ads and days replaces their numbers. Rows that a newer
export no longer has stay, because exports are often of a part of the account; how many is said.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from include.command_line import DatabaseFailure, database_sentence, day_argument
from include.config import thresholds
from include.config.connections import connection
from include.db import ads, make_engine
from include.db.merging import Merged
from include.errors import NightshiftError
from include.meta_ads.columns import find_columns
from include.meta_ads.errors import ExportRefused
from include.meta_ads.export import Export, read_export

_NAME_LENGTH = 100


@dataclass(frozen=True)
class Imported:
    """What an import did; `others` are rows of the account that the file does not have, which stay."""

    account_id: str
    account_name: str
    export: Export
    performance: Merged
    others: int


def import_export(engine: Engine, path: Path, account_name: str, day: date | None = None) -> Imported:
    """Read the file at `path` and merge it into the account called `account_name`.

    Args:
        engine: the `nightshift` database.
        path: a CSV file, see `export.read_export`.
        account_name: as people call it; its id is made from it.
        day: the day of all rows, for a file without dates.

    Raises:
        ExportRefused: the file or the account cannot be used; nothing was written.
    """
    name = " ".join(account_name.split())
    account_id = account_id_of(name)
    limits = thresholds().ads
    export = read_export(
        path, day, max_megabytes=limits.import_max_megabytes, problems_shown=limits.import_problems_shown
    )
    with engine.begin() as transaction:
        # Two imports into one account take turns, so that each judges what the other has written.
        transaction.execute(text("SELECT pg_advisory_xact_lock(hashtext(:id))"), {"id": account_id})
        name = _check_account(transaction, path, name, account_id, export)
        ads.upsert_accounts(
            transaction,
            [{"account_id": account_id, "name": name, "currency": export.currency, "source": "export"}],
        )
        ads.upsert_campaigns(transaction, _campaign_rows(account_id, export))
        ads.upsert_ads(transaction, _ad_rows(account_id, export))
        performance = ads.upsert_performance(transaction, _performance_rows(account_id, export))
        others = ads.row_count(transaction, account_id) - len(export.rows)
    return Imported(account_id, name, export, performance, others)


def account_id_of(name: str) -> str:
    """The id of an imported account: its name in small Latin letters, digits, `_` and `-`.

    Raises:
        ExportRefused: the name is empty, too long, or means all accounts.

    >>> account_id_of("Café  Noir 2")
    'cafe-noir-2'
    """
    latin = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", latin).strip("-")
    if not name.strip() or not name.isprintable() or max(len(name), len(slug)) > _NAME_LENGTH:
        raise ExportRefused(
            f"import refused: --account is {name[:_NAME_LENGTH]!a}, a name has 1 to {_NAME_LENGTH} "
            "printable letters"
        )
    if slug == ads.SCOPE_ALL:
        raise ExportRefused(f"import refused: '{name}' means all accounts, give --account another name")
    return slug or f"account-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _check_account(transaction: Connection, path: Path, name: str, account_id: str, export: Export) -> str:
    """Refuse an account that is not this file's; returns the name it is known by."""
    for found in ads.account_by_name_or_id(transaction, name, account_id):
        if found.source != "export":
            raise ExportRefused(
                f"import refused: {path.name}: account '{found.name}' ({found.account_id}) is fed by an API "
                f"({found.source}); give --account another name"
            )
        if found.account_id != account_id or found.name.casefold() != name.casefold():
            raise ExportRefused(
                f"import refused: {path.name}: '{name}' and the stored account '{found.name}' would share "
                f"the id '{account_id}'; give --account another name"
            )
        if found.currency != export.currency:
            raise ExportRefused(
                f"import refused: {path.name}: its amounts are in {export.currency}, those of account "
                f"'{found.name}' in {found.currency}"
            )
        name = found.name
    _check_shape(transaction, path, name, account_id, export)
    return name


def _check_shape(transaction: Connection, path: Path, name: str, account_id: str, export: Export) -> None:
    """Refuse rows that would count twice: an account's rows all have days or none, the same breakdown, and
    ads that are told apart by the same columns."""
    header = ads.exported_columns(transaction, account_id)
    known_by = find_columns(header)[0].identity if header else export.identity
    if known_by != export.identity:
        here, there = (" and ".join(fields).replace("_", " ") for fields in (export.identity, known_by))
        raise ExportRefused(
            f"import refused: {path.name}: its ads are told apart by {here}, those of account '{name}' by "
            f"{there}: they would count twice; export the same columns, or give --account another name"
        )
    stored = ads.breakdown_columns(transaction, account_id) - {export.breakdowns}
    if stored:
        here = ", ".join(export.breakdowns) or "nothing"
        other = ", ".join(next(iter(stored))) or "nothing"
        raise ExportRefused(
            f"import refused: {path.name}: its rows are broken down by {here}, "
            f"those of account '{name}' by {other}: they would count twice; give --account another name"
        )
    dated = ads.has_days(transaction, account_id)
    if dated is not None and dated != (export.rows[0].day is not None):
        here, there = ("no days", "days") if dated else ("days", "no days")
        raise ExportRefused(
            f"import refused: {path.name}: its rows have {here}, those of account '{name}' have {there}: "
            "they would count twice; use --date, or give --account another name"
        )


def _campaign_rows(account_id: str, export: Export) -> list[dict[str, Any]]:
    names = {row.campaign_id: row.campaign_name for row in export.rows}
    return [{"account_id": account_id, "campaign_id": id_, "name": name} for id_, name in names.items()]


def _ad_rows(account_id: str, export: Export) -> list[dict[str, Any]]:
    by_ad = {row.ad_id: row for row in export.rows}
    return [
        {"account_id": account_id, "ad_id": ad_id, "campaign_id": row.campaign_id, "name": row.ad_name}
        for ad_id, row in by_ad.items()
    ]


def _performance_rows(account_id: str, export: Export) -> Iterator[dict[str, Any]]:
    for row in export.rows:
        yield {
            "account_id": account_id,
            "ad_id": row.ad_id,
            "metric_date": row.day,
            "breakdown": row.breakdown,
            "impressions": row.impressions,
            "clicks": row.clicks,
            "spend": row.spend,
            "conversions": row.conversions,
            "conversion_value": row.conversion_value,
            "raw_data": row.raw_data,
        }


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code: 0 imported, 1 refused."""
    parser = argparse.ArgumentParser(
        prog="python -m include.meta_ads.importer", description="Import an Ads Manager export (CSV)."
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--account", required=True, metavar="NAME", help="the account the rows belong to")
    parser.add_argument("--date", type=day_argument, metavar="YYYY-MM-DD", help="for files without days")
    options = parser.parse_args(arguments)
    try:
        engine = make_engine(connection("nightshift_db").url)
        imported = import_export(engine, options.file, options.account, options.date)
    except NightshiftError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except DatabaseFailure as error:
        sys.stderr.write(f"import failed, nothing was imported: {database_sentence(error)}\n")
        return 1
    sys.stdout.write(_summary(options.file, imported))
    return 0


def _summary(path: Path, imported: Imported) -> str:
    export, done = imported.export, imported.performance
    days = sorted({row.day for row in export.rows if row.day})
    when = f"{days[0]} to {days[-1]}" if days else "no dates"
    others = f"  kept, though not in this file: {imported.others:,}\n"
    return (
        f"{path.name} -> account '{imported.account_name}' (scope {imported.account_id}), {when}\n"
        f"  rows        {len(export.rows):>16,}\n"
        f"  impressions {export.impressions:>16,}\n"
        f"  clicks      {export.clicks:>16,}\n"
        f"  spend       {export.spend:>16,.2f} {export.currency}\n"
        f"  {done.inserted:,} rows new, {done.changed:,} changed, {done.unchanged:,} as they were\n"
        + (others if imported.others else "")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
