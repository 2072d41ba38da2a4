"""How much of its hourly allowance an account has used, as Meta's headers tell it and as Meta refuses."""

from __future__ import annotations

import json
import math

from include.sandbox.faults import Fault, LowQuota, arguments_of
from include.sandbox.meta_world import MetaRefusal
from include.sandbox.state import SandboxState, VirtualClock

USUAL_CALLS_PER_HOUR = 200_000
_HOUR_S = 3600.0


class Allowance:
    """Counts calls per account; a call is forgotten evenly over an hour of the sandbox's clock."""

    def __init__(self, state: SandboxState, clock: VirtualClock) -> None:
        self._state = state
        self._clock = clock

    def spend(self, account_id: str, faults: list[Fault]) -> dict[str, str]:
        """Count one call; returns the headers that tell of it.

        Raises:
            MetaRefusal: the allowance is used up.
        """
        quota = arguments_of(faults, LowQuota)
        most = quota.calls_per_hour if quota else USUAL_CALLS_PER_HOUR
        now = self._clock.now()
        with self._state.writing() as db:
            row = db.execute("SELECT * FROM meta_usage WHERE account_id = ?", (account_id,)).fetchone()
            before = max(0.0, row["calls"] - (now - row["at"]) * most / _HOUR_S) if row else 0.0
            refused = before + 1 > most
            db.execute(
                "INSERT INTO meta_usage VALUES (?, ?, ?) ON CONFLICT (account_id)"
                " DO UPDATE SET calls = excluded.calls, at = excluded.at",
                (account_id, before if refused else before + 1, now),
            )
        if refused:
            # Access comes back once a tenth of the allowance is free again.
            minutes = math.ceil((before + 0.1 * most - most) * 60 / most)
            raise MetaRefusal(
                400,
                80000,
                "(#80000) There have been too many calls from this ad-account. Wait a bit and try again.",
                subcode=2446079,
                headers=_headers(account_id, 100, minutes),
            )
        return _headers(account_id, round(100 * (before + 1) / most), 0)


def _headers(account_id: str, percent: int, minutes: int) -> dict[str, str]:
    use = {
        "type": "ads_insights",
        "call_count": percent,
        "total_cputime": percent // 2,
        "total_time": percent // 2,
        "estimated_time_to_regain_access": minutes,
        "ads_api_access_tier": "standard_access",
    }
    business = account_id.removeprefix("act_") or "0"
    throttle = {"app_id_util_pct": 0, "acc_id_util_pct": percent, "ads_api_access_tier": "standard_access"}
    return {
        "x-app-usage": json.dumps({"call_count": 0, "total_time": 0, "total_cputime": 0}),
        "x-business-use-case-usage": json.dumps({business: [use]}),
        "x-fb-ads-insights-throttle": json.dumps(throttle),
    }
