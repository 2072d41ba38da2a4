"""Asks whether the data still look like what the champion learnt from, and acts when they do not.

## What
Compares the newest week with the newest part of the champion's training window before it (for an export
without dates: the newest campaign with the others), column by column. How far a column must move to count
allows for how few ads there are, so quiet days stay quiet. Evidently draws the page; it is kept in MLflow
(experiment `drift`), the numbers in `ml.drift_report`. The verdict branches: `no_action`; `alert`, one Slack
message; `retrain`, which starts train_ctr_model on the newest days and comes with an `alert`. Thresholds are
under `drift` in `include/config/thresholds.yaml`.

## When it fails
- *RegistryUnavailable*: MLflow did not answer. Retried by itself; running the day again replaces its report.
- `alert` fails: see connection `slack_alerts`; a retrain has been asked for nevertheless.
- Too little data, no champion, or odd data fail nothing: the severity is `cannot_tell`, and says why.

## Can it wait?
Yes. Nothing is served from it; the next day sees the same drift with more evidence.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import ADS_PERFORMANCE, CTR_MODEL, DRIFT_REPORT, RETRAIN_WANTED
from nightshift.policy import house
from nightshift.run_day import DAY_PARAM, run_day
from nightshift.scope import SCOPE_PARAM


@dag(
    **house(schedule="0 5 * * *", tags=["models", "nightly"], dagrun_timeout=timedelta(hours=1)),
    doc_md=__doc__,
    params={"day": DAY_PARAM, "scope": SCOPE_PARAM},
)
def drift_report() -> None:
    @task(inlets=[ADS_PERFORMANCE, CTR_MODEL])
    def assess(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import connection, mlflow_tracking_uri, nightshift_engine
        from nightshift.watch_drift import assess_scope

        return assess_scope(
            params["scope"],
            run_day(params, dag_run),
            engine=nightshift_engine(),
            tracking_uri=mlflow_tracking_uri(),
            public_url=connection("mlflow_default").extra_dejson.get("public_url") or "",
        )

    @task.branch
    def decide(assessed: dict[str, Any]) -> list[str]:
        from nightshift.watch_drift import actions

        return actions(assessed)

    @task
    def no_action(assessed: dict[str, Any]) -> dict[str, str]:
        return {"why": assessed["summary"]}

    @task
    def alert(assessed: dict[str, Any], dag_run: Any) -> dict[str, bool]:
        from nightshift.connections import nightshift_engine, slack_channel
        from nightshift.links import run_url
        from nightshift.watch_drift import post_drift_alert

        posted = post_drift_alert(
            assessed,
            engine=nightshift_engine(),
            channel=slack_channel("slack_alerts"),
            run_id=dag_run.run_id,
            run_url=run_url(dag_run.dag_id, dag_run.run_id),
        )
        return {"posted": posted}

    @task(outlets=[RETRAIN_WANTED])
    def retrain(assessed: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        from nightshift.watch_drift import retrain_request

        request = retrain_request(assessed)
        outlet_events[RETRAIN_WANTED].extra = request
        return request

    @task(outlets=[DRIFT_REPORT], trigger_rule="none_failed_min_one_success")
    def report(assessed: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        names = ("severity", "decision", "drifted_columns", "html_uri", "summary")
        told = {name: assessed[name] for name in names}
        outlet_events[DRIFT_REPORT].extra = {name: assessed[name] for name in ("scope", "day", *names[:2])}
        return told

    assessed = assess()
    actions = [no_action(assessed), alert(assessed), retrain(assessed)]
    decide(assessed) >> actions >> report(assessed)


drift_report()
