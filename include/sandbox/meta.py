"""Meta's Marketing API over a simulated world: ad accounts, ads, and Insights by ad and day.

Speaks the parts that a nightly extraction uses: bearer token, `fields`, `breakdowns`, `time_range`, cursor
paging, report runs, usage headers, and Graph API errors. Two things are the sandbox's own: the query
parameter `as_of` (what the platform knew on that evening; without it, what it knows by the sandbox's clock),
and the creative's field `platform` (what the platform that made the creative knows about it). A world is
lived on as far as it is asked for, but nothing after `as_of` is ever told.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from include.sandbox.credentials import presented_key, same_key
from include.sandbox.faults import (
    AppLimit,
    DeletedAds,
    Fault,
    HiddenCells,
    RepeatedRow,
    TokenExpired,
    TooMuchData,
    arguments_of,
)
from include.sandbox.meta_reports import ReportRuns
from include.sandbox.meta_usage import Allowance
from include.sandbox.meta_world import Horizon, MetaRefusal, Question, chosen, falls, listed_ads
from include.sandbox.state import SandboxState, VirtualClock
from include.simulator import SimulatedWorld

PREFIX = "/meta/v26.0"
MAX_PAGE = 1_000
_ACCOUNT = "act_"


def meta_router(
    world_provider: Callable[[], SimulatedWorld | None],
    api_key: str,
    state: SandboxState,
    clock: VirtualClock,
) -> APIRouter:
    """The routes below `/meta`.

    Args:
        world_provider: gives the world to serve, or `None` while there is none.
        api_key: the one access token that is accepted.
        state: keeps report runs and usage.
        clock: tells today, and how far report runs are.
    """
    router = APIRouter(prefix=PREFIX)
    horizon, reports, allowance = Horizon(world_provider), ReportRuns(state, clock), Allowance(state, clock)

    def today() -> date:
        return datetime.fromtimestamp(clock.now(), UTC).date()

    def answered(request: Request, about: str, work: Callable[[list[Fault]], Any]) -> JSONResponse:
        faults: list[Fault] = getattr(request.state, "faults", [])
        try:
            _admit(request, api_key, faults)
            told = allowance.spend(about, faults)
            return JSONResponse(work(faults), headers=told)
        except MetaRefusal as refusal:
            return JSONResponse(refusal.body, refusal.status, headers=refusal.headers)

    @router.get("/me/adaccounts")
    def ad_accounts(request: Request) -> JSONResponse:
        def told(faults: list[Fault]) -> dict[str, Any]:
            world, params = horizon.current(), request.query_params
            if world is None:
                return {"data": []}
            rows = zip(*(world.accounts[c] for c in ("account_id", "name", "currency")), strict=True)
            wanted = _names(params.get("fields", "id"))
            named = [
                chosen({"id": id_, "account_id": id_[4:], "name": name, "currency": currency}, wanted)
                for id_, name, currency in rows
            ]
            return _page(request, named, faults)

        return answered(request, "", told)

    @router.get("/{account_id}/ads")
    def ads(request: Request, account_id: str) -> JSONResponse:
        def told(faults: list[Fault]) -> dict[str, Any]:
            params = request.query_params
            day = _date(params["as_of"], "as_of") if "as_of" in params else today()
            world = horizon.reaching(account_id, day, or_its_end=True)
            wanted, deleted = _names(params.get("fields", "id")), arguments_of(faults, DeletedAds)
            rows = [
                chosen(ad, wanted)
                for ad in listed_ads(world, account_id, day)
                if deleted is None or not falls(deleted.share, ad["id"])
            ]
            return _page(request, rows, faults)

        return answered(request, account_id, told)

    @router.get("/{node_id}/insights")
    def insights(request: Request, node_id: str) -> JSONResponse:
        """Of an account: what is small enough to be answered at once. Of a report run: its rows."""

        def told(faults: list[Fault]) -> dict[str, Any]:
            if node_id.startswith(_ACCOUNT):
                question = _question(node_id, request.query_params)
                _refuse_too_much(question, faults, at_once=True)
            else:
                question = reports.question(node_id)
            return _page(request, _seen(horizon.insights(question, today()), question, faults), faults)

        about = node_id if node_id.startswith(_ACCOUNT) else _about(reports, node_id)
        return answered(request, about, told)

    @router.post("/{account_id}/insights")
    async def start_report(request: Request, account_id: str) -> JSONResponse:
        params = dict(parse_qsl((await request.body()).decode()))

        def told(faults: list[Fault]) -> dict[str, Any]:
            question = _question(account_id, params)
            horizon.reaching(account_id, None)
            _refuse_too_much(question, faults, at_once=False)
            return {"report_run_id": reports.start(question, faults)}

        return await run_in_threadpool(answered, request, account_id, told)

    # Meta's SDK ends the address of an object with a slash.
    @router.get("/{report_run_id}/")
    @router.get("/{report_run_id}")
    def report(request: Request, report_run_id: str) -> JSONResponse:
        return answered(request, _about(reports, report_run_id), lambda _: reports.status(report_run_id))

    return router


def _about(reports: ReportRuns, report_run_id: str) -> str:
    try:
        return reports.account_of(report_run_id)
    except MetaRefusal:
        return ""


def _admit(request: Request, api_key: str, faults: list[Fault]) -> None:
    if arguments_of(faults, TokenExpired):
        raise MetaRefusal(401, 190, "Error validating access token: Session has expired", subcode=463)
    if arguments_of(faults, AppLimit):
        raise MetaRefusal(400, 4, "(#4) Application request limit reached")
    if not same_key(presented_key(request), api_key):
        raise MetaRefusal(401, 190, "Invalid OAuth access token - Cannot parse access token")


def _question(account_id: str, params: Mapping[str, str]) -> Question:
    since, until = _window(params.get("time_range", ""))
    if params.get("level") != "ad" or params.get("time_increment") != "1":
        raise MetaRefusal(400, 100, "(#100) the sandbox answers level=ad with time_increment=1 only")
    return Question(
        account_id=account_id,
        since=since,
        until=until,
        fields=tuple(_names(params.get("fields", "ad_id,impressions,spend"))),
        breakdown=",".join(_names(params.get("breakdowns", ""))),
        windows=tuple(_names(params.get("action_attribution_windows", ""))),
        as_of=_date(params["as_of"], "as_of") if "as_of" in params else None,
    )


def _refuse_too_much(question: Question, faults: list[Fault], *, at_once: bool) -> None:
    limit = arguments_of(faults, TooMuchData)
    if limit is not None and question.days > limit.days and (at_once or not limit.at_once):
        raise MetaRefusal(
            400,
            100,
            "(#100) Please reduce the amount of data you're asking for, then retry your request",
            subcode=1487534,
        )


def _seen(rows: list[dict[str, Any]], question: Question, faults: list[Fault]) -> list[dict[str, Any]]:
    hidden = arguments_of(faults, HiddenCells)
    if hidden is None or not question.breakdown:
        return rows
    columns = question.breakdown.split(",")
    return [
        row
        for row in rows
        if not falls(hidden.share, row["ad_id"], row["date_start"], *(row[column] for column in columns))
    ]


def _page(request: Request, rows: list[dict[str, Any]], faults: list[Fault]) -> dict[str, Any]:
    params = request.query_params
    begin, limit = _offset(params.get("after")), _limit(params.get("limit", "25"))
    end = begin + limit
    repeated = rows[begin - 1 : begin] if begin and arguments_of(faults, RepeatedRow) else []
    page: dict[str, Any] = {"data": repeated + rows[begin:end]}
    if page["data"]:
        page["paging"] = {"cursors": {"before": _cursor(begin), "after": _cursor(min(end, len(rows)))}}
        if end < len(rows):
            page["paging"]["next"] = str(request.url.include_query_params(after=_cursor(end)))
    return page


def _names(fields: str) -> list[str]:
    """Names in a list, as JSON or set apart by commas; what stands in a name's braces is left out."""
    if fields.startswith("["):
        try:
            return [str(name).partition("{")[0] for name in json.loads(fields)]
        except ValueError as error:
            raise MetaRefusal(400, 100, f"(#100) not a list of names: {fields}") from error
    names, depth, name = [], 0, ""
    for letter in f"{fields}," if fields else "":
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            names.append(name.partition("{")[0].strip())
            name = ""
        else:
            name += letter
    return names


def _window(time_range: str) -> tuple[date, date]:
    try:
        window = json.loads(time_range)
        since, until = _date(window["since"], "since"), _date(window["until"], "until")
    except (ValueError, KeyError, TypeError) as error:
        raise MetaRefusal(
            400, 100, '(#100) param time_range must be {"since":"YYYY-MM-DD","until":"YYYY-MM-DD"}'
        ) from error
    if since > until:
        raise MetaRefusal(400, 100, "(#100) time_range: since must not be after until")
    return since, until


def _date(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise MetaRefusal(400, 100, f"(#100) {name} is '{text}', not a date YYYY-MM-DD") from error


def _limit(text: str) -> int:
    try:
        return max(1, min(int(text), MAX_PAGE))
    except ValueError as error:
        raise MetaRefusal(400, 100, f"(#100) limit is '{text}', not a number") from error


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset(after: str | None) -> int:
    if after is None:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(after.encode())))
    except ValueError as error:
        raise MetaRefusal(400, 100, "(#100) Invalid cursor") from error
