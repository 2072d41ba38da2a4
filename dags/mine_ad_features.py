"""Mines Meta's raw data into named features of every ad and day, and says which of them earn their place.

## What
Starts when meta_insights_etl has stored new rows. Takes the accounts whose rows changed since they were
mined, from their first changed day on, and computes some fifty features from `raw_data`: placements,
audience, devices, hours, fatigue, rankings, purchases, video. They are stored in `ads.mined_feature`; running
again changes nothing. Once a week (`mined.judging.every_days`) it judges them: what forgetting a feature
costs a model of click rates, and of purchases per click, on ads and days that it did not learn from. The
report is kept in `ml.feature_report`. See *Browse > Features*, and docs/features.md for every feature's
meaning. A feature is told to the CTR model where `ctr.mined_features` names it.

## When it fails
- *RawDataUnreadable*: a figure in `raw_data` is no number; the message has it. Run meta_insights_etl for the
  day again, then clear the failed task.
- *RawDataUnusable*: counts that cannot be right; the message names the ad or the column.
- *LeakageFound*: a fault of the code: a feature knows its own day. Nothing was judged; mined rows are stored.
- Too little data to judge fails nothing: the report says what is missing.

## Can it wait?
Yes, for days: the next run takes up everything that changed meanwhile. Where `ctr.mined_features` names
features, run it before training, or the newest days lack them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from nightshift.assets import ADS_PERFORMANCE, MINED_FEATURES
from nightshift.policy import house
from nightshift.run_day import day_param, run_day


@dag(
    **house(schedule=[ADS_PERFORMANCE], tags=["ads", "models", "nightly"], dagrun_timeout=timedelta(hours=2)),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "judge": Param(
            False,
            type="boolean",
            title="Judge now",
            description="say which features earn their place, also where the last report is not a week old",
        ),
    },
)
def mine_ad_features() -> None:
    @task
    def choose_accounts() -> list[dict[str, Any]]:
        from nightshift.connections import nightshift_engine
        from nightshift.mine_features import shares_to_mine

        return shares_to_mine(nightshift_engine())

    @task
    def mine(share: dict[str, Any]) -> dict[str, int]:
        from nightshift.connections import nightshift_engine
        from nightshift.mine_features import mine_share

        return mine_share(share, engine=nightshift_engine())

    # With nothing to mine, what was mined before can still be judged.
    @task(trigger_rule="none_failed")
    def judge(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import nightshift_engine
        from nightshift.mine_features import judge

        return judge(run_day(params, dag_run), engine=nightshift_engine(), always=params["judge"])

    @task(outlets=[MINED_FEATURES], trigger_rule="none_failed")
    def report(mined: Any, judged: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        from nightshift.mine_features import mining_report

        told = mining_report(list(mined or []), judged)
        outlet_events[MINED_FEATURES].extra = {name: told[name] for name in ("accounts", "rows", "changed")}
        return told

    mined = mine.expand(share=choose_accounts())
    judged = judge()
    mined >> judged
    report(mined, judged)


mine_ad_features()
