"""An exported marketing funnel, read: leads with first contact and origin, and those that were won.

Two CSV files, one row a lead: all leads, and the won ones. What a lead did in between is not told, so its
pipeline has two stages. A lead without a win is open as far as the files reach, never lost: nobody said that
it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.crm.errors import FunnelRefused
from include.crm.people import has_email
from include.meta_ads.errors import ExportRefused
from include.meta_ads.table import Problem, Table, read_table, refuse

LEAD_COLUMNS = {
    "lead": ("mql_id", "lead_id"),
    "contacted": ("first_contact_date", "created_at", "create date"),
    "origin": ("origin", "source", "original source"),
    "page": ("landing_page_id", "landing_page"),
}
WON_COLUMNS = {
    "lead": ("mql_id", "lead_id"),
    "won": ("won_date", "closed_at", "close date"),
    "owner": ("sr_id", "owner_id", "deal owner"),
    "segment": ("business_segment", "segment"),
    "kind": ("lead_type", "deal type"),
}
_NEEDED = {"lead", "contacted", "won"}


@dataclass(frozen=True)
class Lead:
    """A lead and what became of it; `won_at` is None while nothing is known."""

    lead_id: str
    contacted_at: datetime
    origin: str | None
    page: str | None
    won_at: datetime | None = None
    owner_id: str | None = None
    segment: str | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Funnel:
    """What two files hold.

    Attributes:
        leads: those that can be believed.
        doubtful: lead id and why the lead is left out.
        until: the last moment that any row tells of: how far the outcome of open leads was watched.
    """

    leads: tuple[Lead, ...]
    doubtful: tuple[tuple[str, str], ...]
    until: datetime


def read_funnel(leads: Path, won: Path, *, max_megabytes: int, problems_shown: int) -> Funnel:
    """Read both files to their ends.

    Raises:
        FunnelRefused: a file is no such table, a cell cannot be read, or a lead is told twice.
    """
    try:
        lead_table = read_table(leads, max_megabytes, problems_shown)
        won_table = read_table(won, max_megabytes, problems_shown)
        contacted = dict(_rows(leads, lead_table, LEAD_COLUMNS, "contacted", problems_shown))
        wins = dict(_rows(won, won_table, WON_COLUMNS, "won", problems_shown))
    except ExportRefused as error:
        raise FunnelRefused(str(error)) from error
    read: list[Lead] = []
    doubtful: list[tuple[str, str]] = [
        (lead_id, f"won, but not among the leads of {leads.name}")
        for lead_id in wins.keys() - contacted.keys()
    ]
    for lead_id, (contacted_at, cells) in contacted.items():
        won_at, told = wins.get(lead_id, (None, {}))
        if won_at is not None and won_at.date() < contacted_at.date():
            dates = f"won on {won_at:%Y-%m-%d}, before the first contact on {contacted_at:%Y-%m-%d}"
            doubtful.append((lead_id, dates))
            continue
        read.append(
            Lead(
                lead_id,
                contacted_at,
                cells.get("origin"),
                cells.get("page"),
                # A win on the day of the first contact came after it, whatever the hour says.
                won_at if won_at is None else max(won_at, contacted_at),
                told.get("owner"),
                told.get("segment"),
                told.get("kind"),
            )
        )
    until = max([lead.won_at or lead.contacted_at for lead in read], default=datetime.min.replace(tzinfo=UTC))
    return Funnel(tuple(read), tuple(sorted(doubtful)), until)


def _rows(
    path: Path, table: Table, known: dict[str, tuple[str, ...]], moment: str, shown: int
) -> Iterator[tuple[str, tuple[datetime, dict[str, str | None]]]]:
    """(lead id, (its moment, its other cells)) of every row.

    Raises:
        ExportRefused: a column is missing, or cells cannot be read.
    """
    names = [name.casefold() for name in table.header]
    at = {
        field: next((names.index(name) for name in wanted if name in names), None)
        for field, wanted in known.items()
    }
    missing = [
        Problem(f"has no column '{known[field][0]}'")
        for field in known
        if field in _NEEDED and at[field] is None
    ]
    if missing:
        raise refuse(path, missing, shown)
    problems: list[Problem] = []
    found: dict[str, tuple[datetime, dict[str, str | None]]] = {}
    for number, cells in table.rows:
        told = {field: cells[place] or None for field, place in at.items() if place is not None}
        lead_id, text = told.pop("lead"), told.pop(moment)
        personal = [field for field, cell in {"lead": lead_id, **told}.items() if cell and has_email(cell)]
        if not lead_id:
            problems.append(Problem("is empty", number, known["lead"][0]))
        elif personal:
            # Not quoted, and not stored.
            problems.append(
                Problem("holds an e-mail address; export an id instead", number, known[personal[0]][0])
            )
        elif lead_id in found:
            problems.append(Problem(f"lead '{lead_id}' is told twice", number))
        else:
            try:
                found[lead_id] = (_moment(text), told)
            except ValueError:
                problems.append(Problem(f"'{text or ''}' is no date", number, known[moment][0]))
    if problems:
        raise refuse(path, problems, shown)
    yield from found.items()


def _moment(text: str | None) -> datetime:
    moment = datetime.fromisoformat(text or "")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
