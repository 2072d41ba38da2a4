"""How much of Meta's limits is used up, read from its answers, and how long to wait before the next call.

Meta tells percentages of an hour's allowance in several headers; an answer has those that apply to it. What
stands for the whole app holds for every account, the rest for the account that was asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_SHARES = ("call_count", "total_cputime", "total_time")


@dataclass(frozen=True)
class Usage:
    """What one answer tells: percent used of the app's and of the account's allowance.

    `closed_s` is for how many seconds the account is not answered any more, 0 where it is.
    """

    app: float = 0.0
    account: float = 0.0
    closed_s: float = 0.0


def read_usage(headers: Mapping[str, str]) -> Usage:
    """The usage an answer's headers tell; what is absent or unreadable counts as nothing used."""
    app: list[float] = [0.0]
    account: list[float] = [0.0]
    closed_s: list[float] = [0.0]
    told = {name.lower(): value for name, value in headers.items()}
    for shares in _objects(told.get("x-app-usage")):
        app += [_number(shares.get(name)) for name in _SHARES]
    for shares in _objects(told.get("x-fb-ads-insights-throttle")):
        app.append(_number(shares.get("app_id_util_pct")))
        account.append(_number(shares.get("acc_id_util_pct")))
    for shares in _objects(told.get("x-ad-account-usage")):
        account += [_number(shares.get("acc_id_util_pct"))]
    for businesses in _objects(told.get("x-business-use-case-usage")):
        cases = [case for found in businesses.values() if isinstance(found, list) for case in found]
        account += [_number(case.get(name)) for case in cases for name in _SHARES]
        # Meta tells it in minutes.
        closed_s += [60 * _number(case.get("estimated_time_to_regain_access")) for case in cases]
    return Usage(max(app), max(account), max(closed_s))


@dataclass
class Pace:
    """Slows calls down before Meta refuses them.

    Attributes:
        slow_percent: from this usage on there is a pause before each call.
        longest_pause_s: the pause at 100 percent; below, it grows evenly from 0.
        now: seconds of a clock that does not go back.
    """

    slow_percent: float
    longest_pause_s: float
    now: Callable[[], float] = time.monotonic
    _app: float = 0.0
    _accounts: dict[str, float] = field(default_factory=dict)
    _closed_until: dict[str, float] = field(default_factory=dict)

    def note(self, account_id: str, usage: Usage) -> None:
        """Remember what the newest answer told."""
        self._app = usage.app
        self._accounts[account_id] = usage.account
        self._closed_until[account_id] = self.now() + usage.closed_s

    def closed_s(self, account_id: str) -> float:
        """For how many more seconds Meta has said that it will not answer about this account."""
        return max(0.0, self._closed_until.get(account_id, 0.0) - self.now())

    def pause_s(self, account_id: str) -> float:
        """How long to wait before the next call about this account."""
        used = max(self._app, self._accounts.get(account_id, 0.0))
        above = (min(used, 100.0) - self.slow_percent) / (100.0 - self.slow_percent)
        return max(0.0, above) * self.longest_pause_s


def _objects(header: str | None) -> Iterator[dict[str, Any]]:
    try:
        told = json.loads(header) if header else None
    except ValueError:
        told = None
    if isinstance(told, dict):
        yield told


def _number(value: Any) -> float:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return 0.0
