"""Asks whether the champions still fit the newest days, what it costs if not, and acts.

## What
For every model under `drift.models`, compares the newest week with what the champion learnt from (for an
export without dates: the newest campaign with those before): features, predictions, errors on rows that it
has not learnt from, and the quality of the data; all together and niche by niche. Errors are told as the
share of the champion's worth that they cost, so what moved without harm is no reason to act. How much must
move allows for how few ads there are, and a severity counts when two days agree or it is certain. The verdict
branches: `no_action`; `alert`, a Slack message once per incident and one when it is over; `retrain`, which
asks train_ctr_model for an update that has to prove itself. See *Browse > Drift*; Evidently's page of the day
opens from there. docs/drift.md explains every verdict; thresholds are under `drift` in
`include/config/thresholds.yaml`.

## When it fails
- *RegistryUnavailable*: MLflow did not answer. Retried by itself; running the day again replaces its report.
- `alert` fails: see connection `slack_alerts`; a retrain has been asked for nevertheless.
- Too little data, no champion, odd data, or a table or column of `drift.models` that is not there fail
  nothing: the severity is `cannot_tell`, and says why.

## Can it wait?
Yes. Nothing is served from it; the next day sees the same drift with more evidence.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import ADS_PERFORMANCE, CTR_MODEL, DRIFT_REPORT, RETRAIN_WANTED
from nightshift.policy import house
from nightshift.run_day import day_param, run_day
from nightshift.scope import scope_param


@dag(
    **house(schedule="0 5 * * *", tags=["models", "nightly"], dagrun_timeout=timedelta(hours=1)),
    doc_md=__doc__,
    params={"day": day_param(), "scope": scope_param()},
)
def drift_report() -> None:
    @task
    def choose_models(params: dict[str, Any]) -> list[dict[str, str]]:
        from nightshift.watch_drift import models_to_watch

        return models_to_watch(params["scope"])

    @task(inlets=[ADS_PERFORMANCE, CTR_MODEL])
    def assess(watched: dict[str, str], params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import connection, mlflow_tracking_uri, nightshift_engine
        from nightshift.watch_drift import assess

        return assess(
            watched,
            run_day(params, dag_run),
            engine=nightshift_engine(),
            tracking_uri=mlflow_tracking_uri(),
            public_url=connection("mlflow_default").extra_dejson.get("public_url") or "",
        )

    # A model that cannot be judged fails its own task, and the run at its end; the others are acted on.
    @task.branch(trigger_rule="all_done")
    def decide(assessed: Any) -> list[str]:
        from nightshift.watch_drift import tasks_to_do

        return tasks_to_do(assessed)

    @task(trigger_rule="all_done")
    def no_action(assessed: Any) -> dict[str, list[str]]:
        return {"why": [each["reason"] for each in assessed]}

    @task(trigger_rule="all_done")
    def alert(assessed: Any, dag_run: Any) -> dict[str, int]:
        from nightshift.connections import nightshift_engine, slack_channel
        from nightshift.links import run_url
        from nightshift.tell_drift import tell_incidents

        told = tell_incidents(
            list(assessed),
            engine=nightshift_engine(),
            channel=slack_channel("slack_alerts"),
            run_id=dag_run.run_id,
            run_url=run_url(dag_run.dag_id, dag_run.run_id),
        )
        return {"posted": told}

    @task(outlets=[RETRAIN_WANTED], trigger_rule="all_done")
    def retrain(assessed: Any, outlet_events: Any) -> dict[str, Any]:
        from nightshift.connections import nightshift_engine
        from nightshift.watch_drift import ask_for_retrain

        request = ask_for_retrain(assessed, engine=nightshift_engine())
        outlet_events[RETRAIN_WANTED].extra = request
        return request

    @task(outlets=[DRIFT_REPORT], trigger_rule="none_failed_min_one_success")
    def report(assessed: Any, outlet_events: Any) -> dict[str, Any]:
        from nightshift.watch_drift import report

        told = report(assessed)
        event = {name: told[name] for name in ("scope", "day", "severity", "decision")}
        outlet_events[DRIFT_REPORT].extra = event
        return told

    assessed = assess.expand(watched=choose_models())
    actions = [no_action(assessed), alert(assessed), retrain(assessed)]
    decide(assessed) >> actions >> report(assessed)


drift_report()
