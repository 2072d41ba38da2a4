"""What is asked of Insights: one account, one window, unbroken or by one breakdown; and what may be asked.

Breakdowns are cubes of their own that Meta answers one by one. Hours of the day know neither reach nor
purchases off Meta's pages, so these are not asked for there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from include.meta_ads.errors import BreakdownRefused

# The breakdown of a query for unbroken totals.
TOTALS = ""

_VIDEO_FIELDS = (
    "video_play_actions", "video_p25_watched_actions", "video_p50_watched_actions",
    "video_p75_watched_actions", "video_p95_watched_actions", "video_p100_watched_actions",
    "video_thruplay_watched_actions", "video_avg_time_watched_actions",
)  # fmt: skip
TOTAL_FIELDS = (
    "account_id", "campaign_id", "campaign_name", "ad_id", "ad_name", "attribution_setting",
    "impressions", "clicks", "spend", "reach", "frequency", "inline_link_clicks", "unique_clicks",
    "quality_ranking", "engagement_rate_ranking", "conversion_rate_ranking",
    "actions", "action_values", *_VIDEO_FIELDS,
)  # fmt: skip
COUNTED = ("impressions", "clicks", "spend")
BOUGHT = ("actions", "action_values")

# Told beside each action's number, for the share of purchases that mere views claim.
ATTRIBUTION_WINDOWS = ("7d_click", "1d_view")

_NEEDS = {"platform_position": "publisher_platform"}
# These know nothing of what people do off Meta's pages.
_WITHOUT_PURCHASES = ("hourly_stats_", "region", "dma")
# Cells that an ad has on a day, about; only decides how a question is asked.
_CELLS = {"publisher_platform": 8, "platform_position": 1, "age": 7, "gender": 2, "impression_device": 5}
_CELLS_OF_HOURS, _CELLS_OF_OTHERS = 24, 10


@dataclass(frozen=True)
class Query:
    """One question: an account's ads by day from `since` to `until`, inclusive.

    `breakdown` is spelt as in the thresholds, `TOTALS` for none.
    """

    account_id: str
    since: date
    until: date
    breakdown: str = TOTALS

    def __str__(self) -> str:
        by = f" by {self.breakdown}" if self.breakdown else ""
        return f"insights of {self.account_id}{by}, {self.since} to {self.until}"

    @property
    def columns(self) -> list[str]:
        """The columns of the breakdown."""
        return self.breakdown.split(",") if self.breakdown else []

    @property
    def days(self) -> int:
        """How many days the window has."""
        return (self.until - self.since).days + 1

    @property
    def fields(self) -> list[str]:
        """The fields asked for."""
        if not self.breakdown:
            return list(TOTAL_FIELDS)
        return ["ad_id", *COUNTED, *(BOUGHT if tells_purchases(self.breakdown) else ())]

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the question beside its fields."""
        told: dict[str, Any] = {
            "level": "ad",
            "time_increment": "1",
            "time_range": {"since": self.since.isoformat(), "until": self.until.isoformat()},
            # Each ad is told by the attribution setting it runs with, as Ads Manager shows it.
            "use_unified_attribution_setting": True,
        }
        if self.breakdown:
            return told | {"breakdowns": self.columns}
        return told | {"action_attribution_windows": list(ATTRIBUTION_WINDOWS)}

    def halves(self) -> tuple[Query, Query] | None:
        """The same question for the earlier and the later half of the window; None for a single day."""
        if self.days == 1:
            return None
        middle = self.since + timedelta(days=self.days // 2 - 1)
        return replace(self, until=middle), replace(self, since=middle + timedelta(days=1))


def tells_purchases(breakdown: str) -> bool:
    """Whether Meta tells purchases by this breakdown."""
    return not any(column.startswith(_WITHOUT_PURCHASES) for column in breakdown.split(","))


def expected_cells(breakdown: str) -> int:
    """How many cells an ad has on a day, about."""
    cells = 1
    for column in breakdown.split(","):
        cells *= (
            _CELLS_OF_HOURS if column.startswith("hourly_stats_") else _CELLS.get(column, _CELLS_OF_OTHERS)
        )
    return cells


def check_breakdowns(breakdowns: Iterable[str]) -> None:
    """Refuse what Meta would refuse, before anything is asked.

    Raises:
        BreakdownRefused: a column is unknown to Meta or named twice, lacks its companion, or stands beside
            another where it must stand alone.
    """
    from facebook_business.adobjects.adsinsights import AdsInsights

    known = {value for name, value in vars(AdsInsights.Breakdowns).items() if not name.startswith("_")}
    for breakdown in breakdowns:
        columns = breakdown.split(",")
        reason = _refusal(columns, known)
        if reason:
            raise BreakdownRefused(f"breakdown '{breakdown}': {reason}; change ads.breakdowns")


def _refusal(columns: list[str], known: set[str]) -> str | None:
    for column in columns:
        if column not in known:
            return f"Meta has no column '{column}'"
        if columns.count(column) > 1:
            return f"'{column}' is named twice"
        if column in _NEEDS and _NEEDS[column] not in columns:
            return f"'{column}' is only told together with '{_NEEDS[column]}'"
        if column.startswith("hourly_stats_") and len(columns) > 1:
            return f"'{column}' is only told by itself"
    return None
