"""Faults that tests order: which vendor and route, what goes wrong, how often, after how many requests.

They are kept in the sandbox's state, so a fault ordered before a restart still happens after it. `gate.py`
carries out those that any route can suffer; the batch routes and Meta's ask for their own.
"""

import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.sandbox.state import SandboxState

Vendor = Literal["anthropic", "openai", "slack", "meta", "hubspot"]
VENDORS: tuple[str, ...] = get_args(Vendor)
Share = Annotated[float, Field(gt=0, le=1)]


class FaultKind(StrEnum):
    """What can go wrong."""

    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    DROP_RESPONSE = "drop_response"
    DELAY = "delay"
    TRUNCATE = "truncate"
    MALFORMED_LINE = "malformed_line"
    PARTIAL_FAILURE = "partial_failure"
    EXPIRE = "expire"
    TOKEN_LIMIT = "token_limit"  # noqa: S105 - no password, a quota
    EMPTY_FILE_IDS = "empty_file_ids"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - no password, a refusal
    APP_LIMIT = "app_limit"
    TOO_MUCH_DATA = "too_much_data"
    REPORT_ENDS = "report_ends"
    LOW_QUOTA = "low_quota"
    HIDDEN_CELLS = "hidden_cells"
    REPEATED_ROW = "repeated_row"
    DELETED_ADS = "deleted_ads"


ENDS_THE_REQUEST = {FaultKind.RATE_LIMIT, FaultKind.SERVER_ERROR, FaultKind.DROP_RESPONSE}
OPEN_ORDERS = "SELECT * FROM fault WHERE vendor = ? AND (times IS NULL OR fired < times) ORDER BY id"
COUNT_FIRED = "UPDATE fault SET seen = seen + 1, fired = fired + ? WHERE id = ?"
# The one route of each vendor that can suffer it.
ONLY_ON = {
    FaultKind.MALFORMED_LINE: {
        "anthropic": "GET /v1/messages/batches/*/results",
        "openai": "GET /v1/files/*/content",
    },
    FaultKind.PARTIAL_FAILURE: {"anthropic": "POST /v1/messages/batches", "openai": "POST /v1/batches"},
    FaultKind.EXPIRE: {"anthropic": "POST /v1/messages/batches", "openai": "POST /v1/batches"},
    FaultKind.TOKEN_LIMIT: {"openai": "POST /v1/batches"},
    FaultKind.EMPTY_FILE_IDS: {"openai": "POST /v1/batches"},
    FaultKind.TOKEN_EXPIRED: {"meta": "*", "hubspot": "*"},
    FaultKind.APP_LIMIT: {"meta": "*"},
    FaultKind.TOO_MUCH_DATA: {"meta": "* /*/*/insights"},
    FaultKind.REPORT_ENDS: {"meta": "POST /*/*/insights"},
    FaultKind.LOW_QUOTA: {"meta": "*"},
    FaultKind.HIDDEN_CELLS: {"meta": "* /*/*/insights"},
    FaultKind.REPEATED_ROW: {"meta": "GET /*/*/insights"},
    FaultKind.DELETED_ADS: {"meta": "GET /*/*/ads"},
}


class Arguments(BaseModel):
    """Base of the arguments of a kind of fault: unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RateLimit(Arguments):
    """429 in the vendor's form; `retry_after` in seconds, null where the vendor does not say."""

    retry_after: Annotated[float, Field(ge=0)] | None = 1.0


class ServerError(Arguments):
    """An error status in the vendor's form, such as 500, 503 or 529."""

    status: Annotated[int, Field(ge=400, le=599)] = 500


class DropResponse(Arguments):
    """The request is carried out, then the connection is closed without an answer."""


class Delay(Arguments):
    """The request waits `seconds` of real time before it is carried out."""

    seconds: Annotated[float, Field(ge=0, le=600)]


class Truncate(Arguments):
    """The answer's body stops after `bytes` (default: half of its first piece).

    `clean` ends it as if it were whole; otherwise the connection breaks.
    """

    bytes: Annotated[int, Field(ge=0)] | None = None
    clean: bool = False


class MalformedLine(Arguments):
    """The first `lines` lines of a results stream are cut in half, so that they are no JSON."""

    lines: Annotated[int, Field(ge=1)] = 1


class PartialFailure(Arguments):
    """A `share` of the batch's requests fails with `error_type`, by default what the vendor calls its own."""

    share: Share = 0.5
    error_type: str | None = None


class Expire(Arguments):
    """A `share` of the batch's requests is never done; the batch ends `after_seconds` from its creation."""

    share: Share = 1.0
    after_seconds: Annotated[float, Field(gt=0)] = 24 * 3600.0


class TokenLimit(Arguments):
    """The batch is accepted, and fails while it is validated: too many tokens are enqueued already."""


class EmptyFileIds(Arguments):
    """File ids that other batches have as null are empty strings."""


class TokenExpired(Arguments):
    """The refusal of a token that was good until now."""


class AppLimit(Arguments):
    """Meta's refusal of all calls of the app, without a word on when they are answered again."""


class TooMuchData(Arguments):
    """Insights over more than `days` days are refused, asked for at once or as a report.

    Questions answered `at_once` alone where that is set.
    """

    days: Annotated[int, Field(ge=0)] = 1
    at_once: bool = False


class ReportEnds(Arguments):
    """A report run ends other than completed, or, stuck, not at all."""

    how: Literal["failed", "skipped", "stuck"] = "failed"


class LowQuota(Arguments):
    """Calls are answered up to `calls_per_hour` for each account; usage headers tell how many are used."""

    calls_per_hour: Annotated[int, Field(ge=1)] = 60


class HiddenCells(Arguments):
    """Of the cells of a breakdown a `share` is missing; which, does not depend on the request."""

    share: Share = 1 / 3


class RepeatedRow(Arguments):
    """A page begins with the row that the page before it ended with."""


class DeletedAds(Arguments):
    """Of an account's ads a `share` is not listed any more."""

    share: Share = 0.5


ARGUMENTS: dict[FaultKind, type[Arguments]] = {
    FaultKind.RATE_LIMIT: RateLimit,
    FaultKind.SERVER_ERROR: ServerError,
    FaultKind.DROP_RESPONSE: DropResponse,
    FaultKind.DELAY: Delay,
    FaultKind.TRUNCATE: Truncate,
    FaultKind.MALFORMED_LINE: MalformedLine,
    FaultKind.PARTIAL_FAILURE: PartialFailure,
    FaultKind.EXPIRE: Expire,
    FaultKind.TOKEN_LIMIT: TokenLimit,
    FaultKind.EMPTY_FILE_IDS: EmptyFileIds,
    FaultKind.TOKEN_EXPIRED: TokenExpired,
    FaultKind.APP_LIMIT: AppLimit,
    FaultKind.TOO_MUCH_DATA: TooMuchData,
    FaultKind.REPORT_ENDS: ReportEnds,
    FaultKind.LOW_QUOTA: LowQuota,
    FaultKind.HIDDEN_CELLS: HiddenCells,
    FaultKind.REPEATED_ROW: RepeatedRow,
    FaultKind.DELETED_ADS: DeletedAds,
}


class FaultOrder(BaseModel):
    """What a test posts.

    Attributes:
        route: `METHOD /path` below the vendor's base, `*` or `{name}` for one path segment; `*` alone is any.
        times: how often it happens; null means until cleared.
        after: how many matching requests pass unharmed first.
        args: arguments of the kind, see the classes above.
    """

    model_config = ConfigDict(extra="forbid")

    vendor: Vendor
    route: str = "*"
    kind: FaultKind
    times: Annotated[int, Field(ge=1)] | None = 1
    after: Annotated[int, Field(ge=0)] = 0
    args: dict[str, Any] = {}


@dataclass(frozen=True)
class Fault:
    """A fault that happens now."""

    kind: FaultKind
    args: Arguments


class FaultRefused(ValueError):
    """The order makes no sense; the message says why."""


class FaultTable:
    """The faults on order."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def order(self, wanted: FaultOrder) -> int:
        """Put a fault on order; returns its id.

        Raises:
            FaultRefused: the route is no route, the arguments do not fit, or this vendor has no such trouble.
        """
        if wanted.kind in ONLY_ON and wanted.vendor not in ONLY_ON[wanted.kind]:
            can = " or ".join(f"'{vendor}'" for vendor in ONLY_ON[wanted.kind])
            what = f"{can} alone" if can == "'meta'" else f"only the batches of {can}"
            raise FaultRefused(f"{wanted.kind}: {what} can suffer this")
        if wanted.route != "*" and not re.fullmatch(r"(?:\*|[A-Z]+) /\S*", wanted.route):
            raise FaultRefused(f"route '{wanted.route}': give 'METHOD /path' or '*'")
        try:
            args = ARGUMENTS[wanted.kind](**wanted.args)
        except ValidationError as error:
            wrong = "; ".join(f"args.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise FaultRefused(f"{wanted.kind}: {wrong}") from error
        with self._state.writing() as db:
            row = db.execute(
                'INSERT INTO fault (vendor, route, kind, times, "after", args) VALUES (?, ?, ?, ?, ?, ?)'
                " RETURNING id",
                (
                    wanted.vendor,
                    wanted.route,
                    wanted.kind.value,
                    wanted.times,
                    wanted.after,
                    args.model_dump_json(),
                ),
            ).fetchone()
        return int(row["id"])

    def listed(self) -> list[dict[str, Any]]:
        """All faults on order with how many matching requests they saw and how often they fired."""
        rows = self._state.rows("SELECT * FROM fault ORDER BY id")
        return [{**dict(row), "args": json.loads(row["args"])} for row in rows]

    def clear(self) -> None:
        """Forget all faults."""
        with self._state.writing() as db:
            db.execute("DELETE FROM fault")

    def admit(self, vendor: str, method: str, path: str, label: str) -> list[Fault]:
        """Count one request to a vendor's route and take the faults it is to suffer, in order.

        Args:
            path: below the vendor's base, such as `/v1/messages`.
            label: the route's name in the counts, such as `POST /v1/messages`.
        """
        taken: list[Fault] = []
        with self._state.writing() as db:
            db.execute(
                "INSERT INTO served VALUES (?, ?, 1) ON CONFLICT (vendor, route) DO UPDATE SET n = n + 1",
                (vendor, label),
            )
            for row in db.execute(OPEN_ORDERS, (vendor,)).fetchall():
                if not _matches(row, method, path):
                    continue
                fires = row["seen"] >= row["after"]
                db.execute(COUNT_FIRED, (fires, row["id"]))
                if fires:
                    kind = FaultKind(row["kind"])
                    taken.append(Fault(kind, ARGUMENTS[kind].model_validate_json(row["args"])))
                    if kind in ENDS_THE_REQUEST:
                        break
        return taken


def arguments_of(faults: Iterable[Fault], kind: type[Arguments]) -> Any:
    """The arguments of the first fault whose arguments are a `kind`, or None."""
    return next((fault.args for fault in faults if isinstance(fault.args, kind)), None)


def _matches(row: sqlite3.Row, method: str, path: str) -> bool:
    kind = FaultKind(row["kind"])
    vendor = row["vendor"]
    only = ONLY_ON.get(kind, {vendor: "*"})[vendor]
    return all(route == "*" or _route_matches(route, vendor, method, path) for route in (only, row["route"]))


def _route_matches(route: str, vendor: str, method: str, path: str) -> bool:
    wanted_method, _, wanted_path = route.partition(" ")
    if wanted_method not in ("*", method):
        return False
    wanted = wanted_path.removeprefix(f"/{vendor}").strip("/").split("/")
    given = path.strip("/").split("/")
    return len(wanted) == len(given) and all(
        part == "*" or (part.startswith("{") and part.endswith("}")) or part == actual
        for part, actual in zip(wanted, given, strict=True)
    )
