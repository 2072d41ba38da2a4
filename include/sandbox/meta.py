"""Meta's Marketing API over a simulated world: ad accounts, ads, and Insights by ad and day.

Speaks the parts that a nightly extraction uses: bearer token, `fields`, `breakdowns`, `time_range`, cursor
paging, and Graph API errors. Two things are the sandbox's own: the query parameter `as_of` (what the platform
knew on that evening; without it, what it knows by the sandbox's clock), and the creative's field `platform`
(what the platform that made the creative knows about it). A world is lived on as far as it is asked for, but
nothing after `as_of` is ever told.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from include.sandbox.credentials import presented_key, same_key
from include.simulator import SimulatedWorld
from include.simulator.config import MAX_DAYS
from include.simulator.insights import BREAKDOWNS

MAX_PAGE = 1_000
_CELL_NUMBERS = ("impressions", "clicks", "spend")
# Living a world on takes a second, so it is done for a month at a time.
_STRIDE = timedelta(days=31)


class _Refusal(Exception):
    """An answer that is an error, in the form of the Graph API."""

    def __init__(self, status: int, code: int, message: str, kind: str = "OAuthException") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "code": code, "fbtrace_id": "sandbox"}}


def meta_router(world_provider: Callable[[], SimulatedWorld | None], api_key: str) -> APIRouter:
    """The routes below `/meta`.

    Args:
        world_provider: gives the world to serve, or `None` while there is none.
        api_key: the one access token that is accepted.
    """
    router = APIRouter(prefix="/meta/v23.0")
    horizon = _Horizon(world_provider)

    @router.get("/me/adaccounts")
    def ad_accounts(
        request: Request, fields: str = "id", limit: int = 25, after: str | None = None
    ) -> JSONResponse:
        def told() -> list[dict[str, Any]]:
            world = world_provider()
            if world is None:
                return []
            rows = zip(*(world.accounts[c] for c in ("account_id", "name", "currency")), strict=True)
            return [
                _chosen({"id": id_, "account_id": id_[4:], "name": name, "currency": currency}, fields)
                for id_, name, currency in rows
            ]

        return _answer(request, api_key, limit, after, told)

    @router.get("/{account_id}/ads")
    def ads(
        request: Request,
        account_id: str,
        fields: str = "id",
        limit: int = 25,
        after: str | None = None,
        as_of: str | None = None,
    ) -> JSONResponse:
        def told() -> list[dict[str, Any]]:
            day = _date(as_of, "as_of") if as_of else _clock(request)
            world = horizon.reaching(account_id, day, or_its_end=True)
            return [_chosen(ad, fields) for ad in _ads(world, account_id, day or world.config.until)]

        return _answer(request, api_key, limit, after, told)

    @router.get("/{account_id}/insights")
    def insights(
        request: Request,
        account_id: str,
        fields: str = "ad_id,impressions,spend",
        time_range: str = "",
        time_increment: str = "",
        level: str = "account",
        breakdowns: str = Query(default=""),
        limit: int = 25,
        after: str | None = None,
        as_of: str | None = None,
    ) -> JSONResponse:
        def told() -> list[dict[str, Any]]:
            since, until = _window(time_range)
            if level != "ad" or time_increment != "1":
                raise _Refusal(400, 100, "(#100) the sandbox answers level=ad with time_increment=1 only")
            if breakdowns and breakdowns not in BREAKDOWNS:
                raise _Refusal(
                    400,
                    100,
                    f"(#100) Current combination of data breakdown columns ({breakdowns}) is invalid",
                )
            known = (_date(as_of, "as_of") if as_of else _clock(request)) or until
            world = horizon.reaching(account_id, min(until, known))
            rows = world.insights(account_id, since, until, known)
            return list(_cells(rows, breakdowns, fields) if breakdowns else _totals(rows, fields))

        return _answer(request, api_key, limit, after, told)

    return router


class _Horizon:
    """The provider's world, lived on to the day that is asked for and kept."""

    def __init__(self, provider: Callable[[], SimulatedWorld | None]) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._kept: tuple[SimulatedWorld, SimulatedWorld] | None = None

    def reaching(self, account_id: str, day: date | None, *, or_its_end: bool = False) -> SimulatedWorld:
        """A world with this account that reaches `day`, or the last day it can have."""
        world = self._provider()
        if world is None or account_id not in world.account_ids:
            raise _Refusal(
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
            raise _Refusal(400, 3018, f"(#3018) The sandbox's world ends on {last}")
        with self._lock:
            if self._kept is None or self._kept[0] is not world or self._kept[1].config.until < day:
                self._kept = (world, world.reaching(min(last, day + _STRIDE)))
            return self._kept[1]


def _answer(
    request: Request,
    api_key: str,
    limit: int,
    after: str | None,
    told: Callable[[], list[dict[str, Any]]],
) -> JSONResponse:
    try:
        _check_token(request, api_key)
        rows, begin = told(), _offset(after)
    except _Refusal as refusal:
        return JSONResponse(refusal.body, refusal.status)
    end = begin + max(1, min(limit, MAX_PAGE))
    page: dict[str, Any] = {"data": rows[begin:end]}
    if page["data"]:
        page["paging"] = {"cursors": {"before": _cursor(begin), "after": _cursor(min(end, len(rows)))}}
        if end < len(rows):
            page["paging"]["next"] = str(request.url.include_query_params(after=_cursor(end)))
    return JSONResponse(page)


def _check_token(request: Request, api_key: str) -> None:
    if not same_key(presented_key(request), api_key):
        raise _Refusal(401, 190, "Invalid OAuth access token - Cannot parse access token")


def _totals(rows: Iterable[dict[str, Any]], fields: str) -> Iterable[dict[str, Any]]:
    for row in rows:
        yield {**_chosen(row, fields), "date_start": row["date_start"], "date_stop": row["date_stop"]}


def _cells(rows: Iterable[dict[str, Any]], breakdowns: str, fields: str) -> Iterable[dict[str, Any]]:
    columns = set(breakdowns.split(","))
    wanted = {name.strip() for name in fields.split(",")}
    for row in rows:
        shared = {k: v for k, v in row.items() if k in wanted and k.endswith(("_id", "_name"))}
        days = {"date_start": row["date_start"], "date_stop": row["date_stop"]}
        for cell in row["breakdowns"][breakdowns]:
            numbers = {k: v for k, v in cell.items() if k in columns or k in wanted & set(_CELL_NUMBERS)}
            yield {**shared, **numbers, **days}


def _ads(world: SimulatedWorld, account_id: str, day: date) -> Iterable[dict[str, Any]]:
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


def _chosen(row: dict[str, Any], fields: str) -> dict[str, Any]:
    """The named fields of a row; `campaign{name}` chooses the field, whatever is in its braces."""
    names, depth, name = set(), 0, ""
    for letter in fields + ",":
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            names.add(name.partition("{")[0].strip())
            name = ""
        else:
            name += letter
    return {key: value for key, value in row.items() if key in names}


def _window(time_range: str) -> tuple[date, date]:
    try:
        window = json.loads(time_range)
        since, until = _date(window["since"], "since"), _date(window["until"], "until")
    except (ValueError, KeyError, TypeError) as error:
        raise _Refusal(
            400, 100, '(#100) param time_range must be {"since":"YYYY-MM-DD","until":"YYYY-MM-DD"}'
        ) from error
    if since > until:
        raise _Refusal(400, 100, "(#100) time_range: since must not be after until")
    return since, until


def _date(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise _Refusal(400, 100, f"(#100) {name} is '{text}', not a date YYYY-MM-DD") from error


def _clock(request: Request) -> date | None:
    """Today by the sandbox's clock; `None` in an application that has none."""
    clock = getattr(request.app.state, "clock", None)
    return datetime.fromtimestamp(clock.now(), UTC).date() if clock is not None else None


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset(after: str | None) -> int:
    if after is None:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(after.encode())))
    except ValueError as error:
        raise _Refusal(400, 100, "(#100) Invalid cursor") from error
