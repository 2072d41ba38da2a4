"""What the page about the pipeline shows, from the newest forecast that is kept: it opens while MLflow
is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from include.config import thresholds
from include.db import pipeline as db

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.db.pipeline import PipelineReport

CAMPAIGNS_SHOWN = 20
ADS_SHOWN = 15
# A forecast older than this is said to be old.
FRESH_DAYS = 2

KIND_WORDS = {
    "hook_type": "Hook",
    "format": "Format",
    "visual_pattern": "Picture",
    "persona": "Persona",
}
MATCH_WORDS = {
    "click": "click id",
    "utm_ad": "UTM of the ad",
    "utm_campaign": "UTM of the campaign",
    "first_touch": "first touch",
    "unattributed": "no trace",
}


@dataclass(frozen=True)
class RoasLine:
    """One campaign or ad: a forecast's row with its names in words.

    Attributes:
        name, whose: of the campaign or ad, and where it belongs.
        row: the forecast's columns.
        few: too few deals for the figures to mean much.
        width: of the interval, against the largest return shown, in per cent, for the bar; start: where
            it
            begins; mark: where the expectation is.
    """

    name: str
    whose: str
    row: dict[str, Any]
    few: bool
    start: float
    width: float
    mark: float


@dataclass(frozen=True)
class PipelinePage:
    """Everything on the page; `report` is None where nothing was forecast yet.

    Attributes:
        report: the newest forecast.
        age_days: how old it is; is_old: older than it should be.
        campaigns, ads: most spend first; unattributed: the row of deals without a trace, or None.
        small_below: deals below which a line counts as few.
        totals: deals, open_deals, won_value, expected_value, spend and roas of all campaigns.
        types: (words, rows) of each kind of ad, best first.
        pipelines: (pipeline, rows) of the stages' norms.
        matched: (words, count, share) of how deals were matched.
    """

    report: PipelineReport | None
    age_days: int
    is_old: bool
    campaigns: tuple[RoasLine, ...]
    ads: tuple[RoasLine, ...]
    unattributed: dict[str, Any] | None
    small_below: int
    totals: dict[str, float]
    types: tuple[tuple[str, list[dict[str, Any]]], ...]
    pipelines: tuple[tuple[str, list[dict[str, Any]]], ...]
    matched: tuple[tuple[str, int, float], ...]


def pipeline_page(engine: Engine, today: date) -> PipelinePage:
    """Everything on the page about the pipeline."""
    report = db.newest_report(engine)
    small = thresholds().pipeline_value.min_campaign_deals
    if report is None:
        return PipelinePage(None, 0, False, (), (), None, small, {}, (), (), ())
    rows = db.forecasts(engine, report.forecast_day, "campaign", CAMPAIGNS_SHOWN)
    totals = db.forecast_totals(engine, report.forecast_day)
    ads = db.forecasts(engine, report.forecast_day, "ad", ADS_SHOWN)
    told = report.told
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in told.get("ad_types", []):
        by_kind.setdefault(KIND_WORDS.get(row["kind"], row["kind"]), []).append(row)
    by_pipeline: dict[str, list[dict[str, Any]]] = {}
    for row in told.get("stage_norms", []):
        by_pipeline.setdefault(row["pipeline_id"], []).append(row)
    matched = told.get("matched_by", {})
    deals = sum(matched.values())
    return PipelinePage(
        report=report,
        age_days=(today - report.forecast_day).days,
        is_old=today - report.forecast_day > timedelta(days=FRESH_DAYS),
        campaigns=_lines(rows, "campaign_name", "campaign_id", small),
        ads=_lines(ads, "ad_name", "ad_id", small),
        unattributed=db.unattributed(engine, report.forecast_day),
        small_below=small,
        totals=totals,
        types=tuple(by_kind.items()),
        pipelines=tuple(by_pipeline.items()),
        matched=tuple((MATCH_WORDS.get(name, name), count, count / deals) for name, count in matched.items()),
    )


def _lines(rows: list[dict[str, Any]], name: str, key: str, small: int) -> tuple[RoasLine, ...]:
    rows = [row for row in rows if row["account_id"]]
    most = max((row["roas_high"] or 0.0 for row in rows), default=0.0) or 1.0
    return tuple(
        RoasLine(
            name=row[name] or row[key] or "(campaign only: the ad is not known)",
            whose=row["account_name"] or row["account_id"],
            row=row,
            few=row["deals"] < small,
            start=100.0 * (row["roas_low"] or 0.0) / most,
            width=100.0 * ((row["roas_high"] or 0.0) - (row["roas_low"] or 0.0)) / most,
            mark=100.0 * (row["roas"] or 0.0) / most,
        )
        for row in rows
    )
