"""Looks at every experiment between champion and challenger, ends what is decided, and starts what is next.

## What
A challenger that passed its gates gets a share of the prediction service's traffic (`experiments` in the
thresholds). Every morning, when the day's outcomes are loaded, both arms are compared by the log loss of what
they predicted: by a test that stays valid however often one looks, Welch's t-test beside it, a check whether
the split is as planned, and guardrails. The ends are promote (promote_model is asked for it, asset
`nightshift://models/promotion_wanted`), keep the champion, stop for harm, and invalid; otherwise it goes on
until `max_days`. When one ends, the next challenger in line starts; where there is none, the report says so.
Starts also when train_ctr_model registered a version. Running it again on the same day changes nothing.

## When it fails
- *RegistryUnavailable*: MLflow did not answer. Retried by itself.
- *SlackRefused*: the verdict is kept, the message was not sent. Correct the connection and clear `tell`.

## Can it wait?
Yes, for a day: the traffic stays shared as it is. An experiment that does harm goes on until it has run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, dag, task

from nightshift.assets import ADS_PERFORMANCE, CTR_MODEL, PROMOTION_WANTED
from nightshift.policy import every, house
from nightshift.run_day import day_param, run_day


@dag(
    **house(
        schedule=AssetOrTimeSchedule(timetable=every("0 6 * * *"), assets=[CTR_MODEL]),
        tags=["models", "nightly"],
        dagrun_timeout=timedelta(hours=1),
    ),
    doc_md=__doc__,
    params={"day": day_param()},
)
def evaluate_experiment() -> None:
    @task(inlets=[ADS_PERFORMANCE])
    def evaluate(params: dict[str, Any], dag_run: Any) -> list[dict[str, Any]]:
        from nightshift import experiments
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine

        return experiments.evaluate(
            engine=nightshift_engine(), tracking_uri=mlflow_tracking_uri(), day=run_day(params, dag_run)
        )

    @task
    def tell(outcomes: list[dict[str, Any]], dag_run: Any) -> int:
        from nightshift import experiments
        from nightshift.connections import nightshift_engine
        from nightshift.links import models_url, run_url

        return experiments.tell(
            outcomes,
            engine=nightshift_engine(),
            run_id=dag_run.run_id,
            run_url=run_url(dag_run.dag_id, dag_run.run_id),
            page_url=models_url(),
        )

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_anything_better(outcomes: list[dict[str, Any]]) -> bool:
        from nightshift.experiments import promotions_wanted

        return bool(promotions_wanted(outcomes))

    @task(outlets=[PROMOTION_WANTED])
    def ask_for_promotion(outcomes: list[dict[str, Any]], outlet_events: Any) -> int:
        from nightshift.experiments import promotions_wanted

        wanted = promotions_wanted(outcomes)
        outlet_events[PROMOTION_WANTED].extra = {"wanted": wanted}
        return len(wanted)

    @task(trigger_rule="none_failed")
    def report(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
        from nightshift.experiments import evaluation_report

        return evaluation_report(outcomes)

    outcomes = evaluate()
    asked = ask_for_promotion(outcomes)
    is_anything_better(outcomes) >> asked
    [tell(outcomes), asked] >> report(outcomes)


evaluate_experiment()
