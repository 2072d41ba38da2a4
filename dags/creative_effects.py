"""Asks what in a creative sells and what repels: what each feature does to clicks and conversions.

## What
Joins what is in each creative (its DNA, and its video's analysis where there is one) to what its ads did
in the last 90 days, and estimates each feature's effect in each niche, within accounts, at equal season,
wear, budget and placement. Effects are drawn to what other niches show, and over all features and niches
the share of false findings is bounded. What to do and what to avoid is on *Browse > Pictures*, with sizes,
intervals and how many creatives and accounts it rests on. Runs every Sunday before the weekly report, and
whenever new videos were analysed. Running a day again replaces its report. docs/pictures.md explains the
method; thresholds are under `creative_effects` in `include/config/thresholds.yaml`.

## When it fails
- *CreativeDataUnusable*: figures of ads are missing or negative: run meta_insights_etl for the days again.
- The database does not answer: see connection `nightshift_db`; clear the failed task when it is back.
- Too few creatives fail nothing: the report says so.

## Can it wait?
Yes, for weeks: the page keeps the last report, and nothing else reads it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, dag, task

from nightshift.assets import ADS_PERFORMANCE, VISUAL_SCENES
from nightshift.policy import every, house
from nightshift.run_day import day_param, run_day
from nightshift.scope import scope_param


@dag(
    **house(
        schedule=AssetOrTimeSchedule(timetable=every("30 7 * * SUN"), assets=[VISUAL_SCENES]),
        tags=["ads", "models", "weekly"],
        dagrun_timeout=timedelta(hours=1),
    ),
    doc_md=__doc__,
    params={"day": day_param(), "scope": scope_param()},
)
def creative_effects() -> None:
    @task(inlets=[ADS_PERFORMANCE, VISUAL_SCENES])
    def estimate(outcome: str, params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import nightshift_engine
        from nightshift.creative_effects import estimate

        return estimate(
            outcome, engine=nightshift_engine(), scope=params["scope"], day=run_day(params, dag_run)
        )

    @task
    def report(estimated: Any) -> dict[str, Any]:
        from nightshift.creative_effects import effects_report

        return effects_report(list(estimated))

    report(estimate.expand(outcome=["clicks", "conversions"]))


creative_effects()
