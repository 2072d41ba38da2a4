"""Imports an exported marketing funnel as deals of a pipeline of its own.

`python -m include.crm.funnel_import LEADS.csv WON.csv --name NAME`

Both files are read to their ends before anything is written, and written in one transaction; importing them
again changes nothing. Rows that contradict themselves are left out, kept in `crm.quarantine`, and told.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from include.command_line import DatabaseFailure, database_sentence
from include.config import thresholds
from include.config.connections import connection
from include.crm.errors import FunnelRefused
from include.crm.funnel import Funnel, Lead, read_funnel
from include.db import crm, make_engine
from include.db.merging import Merged
from include.errors import NightshiftError

OPEN_STAGE, WON_STAGE = "lead", "won"


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    pipeline_id: str
    funnel: Funnel
    deals: Merged


def import_funnel(engine: Engine, leads: Path, won: Path, name: str) -> Imported:
    """Read two files and merge them as pipeline `name`.

    Raises:
        FunnelRefused: the files or the name cannot be used; nothing was written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name == "default":
        raise FunnelRefused(
            f"import refused: --name is {name[:60]!a}; give small letters, digits and _, such as 'olist'"
        )
    limits = thresholds().crm
    funnel = read_funnel(
        leads, won, max_megabytes=limits.import_max_megabytes, problems_shown=limits.import_problems_shown
    )
    source, pipeline_id = f"import:{name}", f"funnel_{name}"
    with engine.begin() as transaction:
        # Two imports under one name take turns.
        crm.take_turns(transaction, pipeline_id)
        begin = min((lead.contacted_at for lead in funnel.leads), default=funnel.until)
        crm.upsert_stages(
            transaction, [_pipeline(pipeline_id, begin)], _stages(pipeline_id, begin), source=source
        )
        crm.upsert_contacts(transaction, (_contact(name, source, lead) for lead in funnel.leads))
        crm.upsert_owners(transaction, _owners(name, source, funnel.leads))
        deals = crm.upsert_deals(
            transaction, (_deal(name, source, pipeline_id, lead) for lead in funnel.leads)
        )
        taken_back = [_id(name, lead) for lead in funnel.leads if lead.won_at is None]
        crm.forget_stage(transaction, taken_back, WON_STAGE)
        crm.upsert_stage_events(transaction, _events(name, funnel.leads))
        crm.replace_associations(
            transaction,
            {"contact": {_id(name, lead): {(_id(name, lead), "import")} for lead in funnel.leads}},
        )
        doubtful = [_doubt(name, source, lead_id, why) for lead_id, why in funnel.doubtful]
        read = [_id(name, lead) for lead in funnel.leads]
        crm.replace_quarantine(transaction, read + [row["deal_id"] for row in doubtful], doubtful)
    return Imported(pipeline_id, funnel, deals)


def _id(name: str, lead: Lead) -> str:
    return f"{name}:{lead.lead_id}"


def _pipeline(pipeline_id: str, begin: datetime) -> dict[str, Any]:
    return {
        "pipeline_id": pipeline_id,
        "label": pipeline_id.replace("_", " ").capitalize(),
        "display_order": 0,
        "created_at": begin,
        "updated_at": begin,
    }


def _stages(pipeline_id: str, begin: datetime) -> list[dict[str, Any]]:
    return [
        {
            "pipeline_id": pipeline_id,
            "stage_id": stage,
            "label": label,
            "display_order": order,
            # The files claim no chance for a lead.
            "probability": 1 if is_won else None,
            "is_closed": is_won,
            "is_won": is_won,
            "created_at": begin,
            "updated_at": begin,
        }
        for order, (stage, label, is_won) in enumerate(
            ((OPEN_STAGE, "Lead", False), (WON_STAGE, "Won", True))
        )
    ]


def _contact(name: str, source: str, lead: Lead) -> dict[str, Any]:
    return {
        "contact_id": _id(name, lead),
        "first_source": lead.origin,
        "first_detail": lead.page,
        "created_at": lead.contacted_at,
        "updated_at": lead.contacted_at,
        "source": source,
    }


def _owners(name: str, source: str, leads: Sequence[Lead]) -> Iterator[dict[str, Any]]:
    for owner in sorted({lead.owner_id for lead in leads if lead.owner_id}):
        yield {
            "owner_id": f"{name}:{owner}",
            "user_id": None,
            "team": None,
            "archived": False,
            "source": source,
        }


def _deal(name: str, source: str, pipeline_id: str, lead: Lead) -> dict[str, Any]:
    told = {"origin": lead.origin, "landing_page": lead.page, "segment": lead.segment, "lead_type": lead.kind}
    return {
        "deal_id": _id(name, lead),
        "pipeline_id": pipeline_id,
        "stage_id": OPEN_STAGE if lead.won_at is None else WON_STAGE,
        "owner_id": f"{name}:{lead.owner_id}" if lead.owner_id else None,
        "amount": None,
        "currency": None,
        "deal_type": None,
        "created_at": lead.contacted_at,
        "closed_at": lead.won_at,
        "is_closed": lead.won_at is not None,
        "is_won": lead.won_at is not None,
        "properties": {key: value for key, value in told.items() if value is not None},
        "archived": False,
        "updated_at": lead.won_at or lead.contacted_at,
        "source": source,
    }


def _events(name: str, leads: Sequence[Lead]) -> Iterator[dict[str, Any]]:
    for lead in leads:
        deal = {"deal_id": _id(name, lead), "source_type": "IMPORT"}
        yield {**deal, "entered_at": lead.contacted_at, "stage_id": OPEN_STAGE}
        if lead.won_at is not None:
            yield {**deal, "entered_at": lead.won_at, "stage_id": WON_STAGE}


def _doubt(name: str, source: str, lead_id: str, why: str) -> dict[str, Any]:
    return {
        "deal_id": f"{name}:{lead_id}",
        "property": "won_date",
        "reason": why,
        "value": None,
        "source": source,
    }


def main(arguments: Sequence[str]) -> int:
    """Import two files; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.crm.funnel_import", description=__doc__)
    parser.add_argument("leads", type=Path, help="CSV of all leads: mql_id, first_contact_date, origin, ...")
    parser.add_argument("won", type=Path, help="CSV of the won ones: mql_id, won_date, ...")
    parser.add_argument("--name", required=True, help="of the pipeline the leads become deals of")
    options = parser.parse_args(arguments)
    try:
        engine = make_engine(connection("nightshift_db").url)
        done = import_funnel(engine, options.leads, options.won, options.name)
    except NightshiftError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except DatabaseFailure as error:
        sys.stderr.write(f"funnel: {database_sentence(error)}\n")
        return 1
    won = sum(lead.won_at is not None for lead in done.funnel.leads)
    lines = [
        f"pipeline '{done.pipeline_id}': {len(done.funnel.leads):,} leads, {won:,} of them won, the others "
        f"open as far as the files reach ({done.funnel.until:%Y-%m-%d}); {done.deals.inserted:,} new, "
        f"{done.deals.changed:,} changed, {done.deals.unchanged:,} as they were"
    ]
    shown = done.funnel.doubtful[: thresholds().crm.import_problems_shown]
    lines += [f"  left out: lead {lead_id}: {why}" for lead_id, why in shown]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
