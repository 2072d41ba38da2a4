"""The simulated world behind Meta's routes: lived on as far as it is asked for, told row by row."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from include.simulator import SimulatedWorld
from include.simulator.config import MAX_DAYS
from include.simulator.insights import BREAKDOWNS

# Living a world on takes a second, so it is done for a month at a time.
_STRIDE = timedelta(days=31)
_KEPT_ANSWERS = 8
_CELL_FIELDS = ("impressions", "clicks", "spend", "actions", "action_values")


class MetaRefusal(Exception):
    """An answer that is an error, in the form of the Graph API."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        kind: str = "OAuthException",
        *,
        subcode: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        error = {"message": message, "type": kind, "code": code, "fbtrace_id": "sandbox"}
        self.body = {"error": error | ({"error_subcode": subcode} if subcode else {})}


@dataclass(frozen=True)
class Question:
    """What is asked of Insights; `as_of` None for what is known by the sandbox's clock.

    `windows` are those of attribution that are told beside an action's number.
    """

    account_id: str
    since: date
    until: date
    fields: tuple[str, ...]
    breakdown: str
    windows: tuple[str, ...]
    as_of: date | None

    @property
    def days(self) -> int:
        """How many days the window has."""
        return (self.until - self.since).days + 1


class Horizon:
    """The provider's world, lived on to the day that is asked for and kept, with the last answers."""

    def __init__(self, provider: Callable[[], SimulatedWorld | None]) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._kept: tuple[SimulatedWorld, SimulatedWorld] | None = None
        self._answers: OrderedDict[Any, list[dict[str, Any]]] = OrderedDict()

    def current(self) -> SimulatedWorld | None:
        """The world as it is now."""
        return self._provider()

    def reaching(self, account_id: str, day: date | None, *, or_its_end: bool = False) -> SimulatedWorld:
        """A world with this account that reaches `day`, or the last day it can have."""
        world = self._provider()
        if world is None or account_id not in world.account_ids:
            raise MetaRefusal(
                400,
                100,
                f"Unsupported get request. Object with ID '{account_id}' does not exist, cannot be loaded "
                "due to missing permissions, or does not support this operation.",
                "GraphMethodException",
            )
        if day is None or day <= world.config.until:
            return world
        last = world.config.start + timedelta(days=MAX_DAYS - 1)
        day = min(day, last) if or_its_end else day
        if day > last:
            raise MetaRefusal(400, 3018, f"(#3018) The sandbox's world ends on {last}")
        with self._lock:
            if self._kept is None or self._kept[0] is not world or self._kept[1].config.until < day:
                self._kept = (world, world.reaching(min(last, day + _STRIDE)))
            return self._kept[1]

    def insights(self, question: Question, today: date | None) -> list[dict[str, Any]]:
        """All rows that answer a question on the evening of its `as_of`, else of `today`."""
        if question.breakdown and question.breakdown not in BREAKDOWNS:
            raise MetaRefusal(
                400,
                100,
                f"(#100) Current combination of data breakdown columns ({question.breakdown}) is invalid",
            )
        known = question.as_of or today or question.until
        world = self.reaching(question.account_id, min(question.until, known))
        span = (question.account_id, question.since, question.until, known)
        rows = self._told((world.config, *span), lambda: list(world.insights(*span)))
        return list(
            _cells(rows, question.breakdown, question.fields)
            if question.breakdown
            else _totals(rows, question.fields, question.windows)
        )

    def _told(self, key: Any, tell: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Rows of an account's window, kept because the same are wanted for every page and breakdown."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        rows = tell()
        with self._lock:
            self._answers[key] = rows
            while len(self._answers) > _KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return rows


def listed_ads(world: SimulatedWorld, account_id: str, day: date) -> Iterable[dict[str, Any]]:
    """An account's ads launched up to `day`, each with campaign and creative."""
    ads = world.ads
    mine = ads[(ads["account_id"] == account_id) & (ads["launched_on"] <= str(day))]
    campaigns = world.campaigns.set_index("campaign_id")
    creatives = world.creatives[world.creatives["account_id"] == account_id].set_index("creative_id")
    for ad in mine.to_dict("records"):
        campaign, creative = campaigns.loc[ad["campaign_id"]], creatives.loc[ad["creative_id"]]
        still = bool(creative["duration_s"] != creative["duration_s"])
        yield {
            "id": ad["ad_id"],
            "name": ad["name"],
            "created_time": f"{ad['launched_on']:%Y-%m-%d}T00:00:00+0000",
            "campaign": {
                "id": ad["campaign_id"],
                "name": campaign["name"],
                "status": campaign["status"].upper(),
                "daily_budget": str(round(campaign["daily_budget"] * 100)),
            },
            "creative": {
                "id": ad["creative_id"],
                "title": creative["hook_text"],
                "call_to_action_type": creative["cta"].upper(),
                "object_type": "PHOTO" if still else "VIDEO",
                "platform": {
                    **{c: creative[c] for c in ("hook_type", "persona", "format", "visual_pattern")},
                    "visual_tags": creative["visual_tags"],
                    "duration_s": None if still else float(creative["duration_s"]),
                    "dna": creative["dna"],
                },
            },
        }


def chosen(row: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """The named fields of a row."""
    names = set(fields)
    return {key: value for key, value in row.items() if key in names}


def falls(share: float, *key: str) -> bool:
    """Whether something falls into a `share` of its kind; the same key always answers the same."""
    return zlib.crc32("|".join(key).encode()) / 2**32 < share


def _totals(
    rows: Iterable[dict[str, Any]], fields: Iterable[str], windows: Iterable[str]
) -> Iterable[dict[str, Any]]:
    told = ("action_type", "value", *windows)
    for row in rows:
        named = chosen(row, fields)
        for field in {"actions", "action_values"} & set(named):
            named[field] = [chosen(action, told) for action in named[field]]
        yield {**named, "date_start": row["date_start"], "date_stop": row["date_stop"]}


def _cells(rows: Iterable[dict[str, Any]], breakdown: str, fields: Iterable[str]) -> Iterable[dict[str, Any]]:
    columns, wanted = set(breakdown.split(",")), set(fields)
    told = columns | (wanted & set(_CELL_FIELDS))
    for row in rows:
        shared = {k: v for k, v in row.items() if k in wanted and k.endswith(("_id", "_name"))}
        days = {"date_start": row["date_start"], "date_stop": row["date_stop"]}
        for cell in row["breakdowns"][breakdown]:
            yield {**shared, **{k: v for k, v in cell.items() if k in told}, **days}
