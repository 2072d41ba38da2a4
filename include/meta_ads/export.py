"""An Ads Manager export, read and judged: every row understood, or every problem named.

Nothing is guessed. A row without a day is kept without one where the file has no date at all; a row that
covers several days, a number that may mean two things, an id that a spreadsheet has rounded, are problems.
Ads Manager's own summary row is recognised, checked against the rows, and left out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from include.meta_ads.amounts import CENT, decimal_mark, parse_number, to_cents
from include.meta_ads.columns import Columns, find_columns
from include.meta_ads.table import Problem, Table, read_table, refuse

_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ROUNDED_ID = re.compile(r"\d([.,]\d+)?e\+?\d+", re.IGNORECASE)
_SUMMARY = re.compile(r"(grand )?total\b.*|results from .*", re.IGNORECASE)
_LARGEST = Decimal(10) ** 11
# Letters of a name (Meta allows 400) and of a breakdown's value.
_LONGEST, _LONGEST_CELL = 512, 128
_CURRENCY = re.compile(r"[A-Z]{3}")
_NOT_BROKEN = "unknown"


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One ad's numbers on one day (or without one) in one cell.

    Attributes:
        row: its number in the file, as a spreadsheet shows it.
        breakdown: '' or sorted `column=value;...`.
        raw_data: the breakdown values by name, reach and frequency, and every column as it stands.
    """

    row: int
    ad_id: str
    ad_name: str
    campaign_id: str
    campaign_name: str
    day: date | None
    breakdown: str
    impressions: int
    clicks: int
    spend: Decimal
    conversions: Decimal
    conversion_value: Decimal
    raw_data: dict[str, Any]


@dataclass(frozen=True)
class Export:
    """A whole file; `breakdowns` are the columns its rows are broken down by, `identity` those that tell
    its ads apart."""

    rows: tuple[ExportRow, ...]
    currency: str
    breakdowns: tuple[str, ...]
    identity: tuple[str, ...]

    @property
    def impressions(self) -> int:
        """Sum over the rows."""
        return sum(row.impressions for row in self.rows)

    @property
    def clicks(self) -> int:
        """Sum over the rows."""
        return sum(row.clicks for row in self.rows)

    @property
    def spend(self) -> Decimal:
        """Sum over the rows, in cents."""
        return sum((row.spend for row in self.rows), Decimal(0))


def read_export(path: Path, day: date | None, *, max_megabytes: int, problems_shown: int) -> Export:
    """Read an export.

    Args:
        path: the CSV file.
        day: the day of all rows, for a file without dates.
        max_megabytes: a larger file is refused.
        problems_shown: how many problems a refusal lists.

    Raises:
        ExportRefused: the file cannot be imported; the message lists the problems.
    """
    table = read_table(path, max_megabytes, problems_shown)
    columns, wrong = find_columns(table.header)
    if day is not None and "day" in columns.at:
        wrong.append(
            f"--date is for files without days, but this one has column '{table.header[columns.at['day']]}'"
        )
    if wrong:
        raise refuse(path, [Problem(reason, table.header_row) for reason in wrong], problems_shown)
    reader = _Reader(table, columns, day)
    export = reader.read()
    if reader.problems:
        raise refuse(path, reader.problems, problems_shown)
    return export


class _Reader:
    """Goes through the rows of one table and collects problems on the way."""

    def __init__(self, table: Table, columns: Columns, day: date | None) -> None:
        self.problems: list[Problem] = []
        self._table, self._columns, self._day = table, columns, day
        amounts = [
            columns.at[field] for field in ("spend", "conversion_value", "frequency") if field in columns.at
        ]
        self._mark = decimal_mark(
            (cells[position] for _, cells in table.rows for position in amounts), table.separator
        )

    def read(self) -> Export:
        rows = list(self._table.rows)
        summary = next((row for row in (rows[0], rows[-1]) if self._is_summary(row[1])), None)
        if summary is not None:
            rows.remove(summary)
        read = [row for number, cells in rows if (row := self._row(number, cells)) is not None]
        if not rows:
            self.problems.append(Problem("has a summary row but no rows of ads"))
        self._check_keys(read)
        if summary is not None and not self.problems:
            self._check_summary(*summary, read)
        spend, value = to_cents([r.spend for r in read]), to_cents([r.conversion_value for r in read])
        return Export(
            rows=tuple(replace(row, spend=spend[i], conversion_value=value[i]) for i, row in enumerate(read)),
            currency=self._currency(rows),
            breakdowns=tuple(name for name, _ in self._columns.breakdowns),
            identity=self._columns.identity,
        )

    def _row(self, number: int, cells: tuple[str, ...]) -> ExportRow | None:
        known = len(self.problems)
        if self._is_summary(cells) and self._cell(cells, "ad_name"):
            self._problem(number, "ad_name", "reads as a sum among the ads: remove it, or export with Ad ID")
        ad_id, ad_name = self._id(number, cells, "ad_id"), self._cell(cells, "ad_name")
        campaign_id, campaign_name = (
            self._id(number, cells, "campaign_id"),
            self._cell(cells, "campaign_name"),
        )
        if not ad_id and not ad_name:
            field = "ad_id" if "ad_id" in self._columns.at else "ad_name"
            self._problem(number, field, "is empty")
        campaign_id = campaign_id or f"name:{campaign_name or '(none)'}"
        ad_id = ad_id or _short("/".join((campaign_id, self._cell(cells, "ad_set_name"), f"name:{ad_name}")))
        impressions = self._number(number, cells, "impressions", whole=True, needed=True)
        clicks = self._number(number, cells, "clicks", whole=True)
        if clicks > impressions and len(self.problems) == known:
            self._problem(number, "clicks", f"{clicks} clicks exceed {impressions} impressions")
        spend = self._number(number, cells, "spend", needed=True)
        conversions = self._number(number, cells, "conversions")
        value = self._number(number, cells, "conversion_value")
        day = self._day_of(number, cells)
        self._check_lengths(number, cells)
        broken = {name: cells[position] or _NOT_BROKEN for name, position in self._columns.breakdowns}
        raw: dict[str, Any] = dict(broken)
        for field in ("reach", "frequency"):
            if self._cell(cells, field):
                raw[field] = str(self._number(number, cells, field))
        raw["columns"] = dict(zip(self._table.header, cells, strict=True))
        if len(self.problems) > known:
            return None
        return ExportRow(
            row=number,
            ad_id=ad_id,
            ad_name=ad_name or ad_id,
            campaign_id=campaign_id,
            campaign_name=campaign_name or campaign_id.removeprefix("name:"),
            day=day,
            breakdown=";".join(f"{name}={_quoted(value)}" for name, value in sorted(broken.items())),
            impressions=int(impressions),
            clicks=int(clicks),
            spend=spend,
            conversions=conversions,
            conversion_value=value,
            raw_data=raw,
        )

    def _check_lengths(self, number: int, cells: tuple[str, ...]) -> None:
        named = ("ad_id", "ad_name", "ad_set_name", "campaign_id", "campaign_name")
        limits = {self._columns.at[field]: _LONGEST for field in named if field in self._columns.at}
        for position in [*limits, *(position for _, position in self._columns.breakdowns)]:
            most = limits.get(position, _LONGEST_CELL)
            if len(cells[position]) > most:
                reason = f"has {len(cells[position])} letters, more than {most}: is a quotation mark missing?"
                self.problems.append(Problem(reason, number, self._table.header[position]))

    def _day_of(self, number: int, cells: tuple[str, ...]) -> date | None:
        if "day" in self._columns.at:
            return self._date(number, cells, "day")
        stated = [field for field in ("starts", "ends") if field in self._columns.at]
        span = [self._date(number, cells, field) for field in stated]
        if self._day is not None:
            return self._day
        if None not in span and len(set(span)) > 1:
            self._problem(
                number,
                "starts",
                f"covers {span[0]} to {span[1]}: export it by day (Breakdown, By time, Day), or book it on "
                "one day with --date",
            )
        return span[0] if span else None

    def _date(self, number: int, cells: tuple[str, ...], field: str) -> date | None:
        text = self._cell(cells, field)
        try:
            if _ISO_DAY.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        self._problem(number, field, f"'{text}' is not a date like 2026-01-31" if text else "is empty")
        return None

    def _id(self, number: int, cells: tuple[str, ...], field: str) -> str:
        text = self._cell(cells, field)
        if _ROUNDED_ID.fullmatch(text) or text.startswith("="):
            done = "made a formula of" if text.startswith("=") else "rounded"
            advice = "export again and do not save it there"
            self._problem(
                number,
                field,
                f"'{text[:40]}' is an id that a spreadsheet has {done}: {advice}",
            )
        return text

    def _number(
        self, number: int, cells: tuple[str, ...], field: str, *, whole: bool = False, needed: bool = False
    ) -> Decimal:
        text = self._cell(cells, field)
        if not text:
            if needed:
                self._problem(number, field, "is empty")
            return Decimal(0)
        try:
            value = parse_number(text, self._mark, whole=whole)
        except ValueError as error:
            self._problem(number, field, str(error))
            return Decimal(0)
        if value >= _LARGEST:
            self._problem(number, field, f"'{text}' is too large to be true")
        return value

    def _is_summary(self, cells: tuple[str, ...]) -> bool:
        names = [self._cell(cells, field) for field in ("ad_id", "ad_name", "campaign_id", "campaign_name")]
        said = [name for name in names if name]
        return all(_SUMMARY.fullmatch(name) for name in said) and bool(self._cell(cells, "impressions"))

    def _check_summary(self, number: int, cells: tuple[str, ...], read: list[ExportRow]) -> None:
        impressions = self._number(number, cells, "impressions", whole=True)
        spend = self._number(number, cells, "spend")
        rows = sum(row.impressions for row in read)
        if impressions != rows:
            self._problem(
                number,
                "impressions",
                f"the row without an ad, the summary, says {impressions}; the rows sum to {rows}",
            )
        paid = sum((row.spend for row in read), Decimal(0))
        # Each row may have been rounded to the cent for display.
        if self._cell(cells, "spend") and abs(spend - paid) > CENT * (len(read) + 1) / 2:
            self._problem(
                number, "spend", f"the row without an ad, the summary, says {spend}; the rows sum to {paid}"
            )

    def _check_keys(self, read: list[ExportRow]) -> None:
        seen: dict[tuple[str, date | None, str], int] = {}
        campaigns: dict[str, ExportRow] = {}
        for row in read:
            first = seen.setdefault((row.ad_id, row.day, row.breakdown), row.row)
            if first != row.row:
                same = "ad, day and breakdown" if row.day else "ad and breakdown"
                self._problem(row.row, self._ad_field(), f"same {same} as row {first}")
            elsewhere = campaigns.setdefault(row.ad_id, row)
            if elsewhere.campaign_id != row.campaign_id:
                self._problem(
                    row.row,
                    "campaign_id" if "campaign_id" in self._columns.at else "campaign_name",
                    f"ad {row.ad_id} is in campaign {row.campaign_id} here, in {elsewhere.campaign_id} in "
                    f"row {elsewhere.row}",
                )

    def _currency(self, rows: list[tuple[int, tuple[str, ...]]]) -> str:
        stated = self._columns.currency
        for number, cells in rows:
            here = self._cell(cells, "currency").upper()
            if not here:
                continue
            if not _CURRENCY.fullmatch(here):
                self._problem(number, "currency", f"'{here}' is not a currency like USD")
                continue
            stated = stated or here
            if here != stated:
                self._problem(number, "currency", f"'{here}' where the file began with '{stated}'")
        return stated or "USD"

    def _ad_field(self) -> str:
        return "ad_id" if "ad_id" in self._columns.at else "ad_name"

    def _cell(self, cells: tuple[str, ...], field: str) -> str:
        position = self._columns.at.get(field)
        return "" if position is None else cells[position]

    def _problem(self, row: int, field: str, reason: str) -> None:
        position = self._columns.at.get(field)
        self.problems.append(Problem(reason, row, None if position is None else self._table.header[position]))


def _short(ad_id: str) -> str:
    """An id made of names, hashed where the names are too long for an index of the database."""
    return ad_id if len(ad_id) <= _LONGEST else f"name:{hashlib.sha256(ad_id.encode()).hexdigest()}"


def _quoted(value: str) -> str:
    """A value that cannot be taken for the separators of a breakdown."""
    return value.replace("%", "%25").replace(";", "%3B").replace("=", "%3D")
