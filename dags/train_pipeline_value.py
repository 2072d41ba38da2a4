"""Learns from the CRM's deals how open ones end, when and for how much, and registers the model.

## What
Reads deals, the histories of their stages, amounts and owners, and which ad brought each (click id, then
UTM, then the contact's first touch), as they were known before the day. A deal that is open counts as
open for as long as it was, never as lost. The recipe is first fitted to what was known 60 days ago
(`horizon_days`) and judged by what became of the deals since, campaign by campaign, beside the CRM's
stage table and last month's close rate; then it learns from everything. The model goes to MLflow as
`pipeline_value` with figures, plot, data window and model card: the first version is champion, later
ones that pass their gates (`pipeline_value.gates`) are challenger; promote_model and roll_back_model
work for it as for every model. Starts on Sundays and by hand. The same deals and settings on the same
day find the version there is. docs/pipeline_value.md explains every number.

## When it fails
- Too few deals to learn from are no failure: the report says how many closed deals there are and are
  needed.
- *CrmInputInvalid*: rows that cannot be right; the message names the table and the deal. Correct it in
  the CRM.
- *DealsLeak*: a fault of the code; nothing was registered. The message names the feature.
- *RegistryUnavailable*: MLflow did not answer. Retried by itself; an attempt that died half-way is
  cleared up.

## Can it wait?
Yes, for weeks: the champion goes on forecasting every day, from the newest deals.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import CRM_DEALS, PIPELINE_MODEL
from nightshift.model_params import reason_param
from nightshift.policy import house
from nightshift.run_day import day_param, run_day


@dag(
    **house(schedule="30 4 * * SUN", tags=["models", "crm", "weekly"], dagrun_timeout=timedelta(hours=2)),
    doc_md=__doc__,
    params={"day": day_param(), "reason": reason_param()},
)
def train_pipeline_value() -> None:
    @task(inlets=[CRM_DEALS], outlets=[PIPELINE_MODEL])
    def train_and_register(params: dict[str, Any], dag_run: Any, outlet_events: Any) -> dict[str, Any]:
        from include.config.commit import git_commit
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.train_pipeline_value import train_and_register_pipeline

        trained = train_and_register_pipeline(
            day=run_day(params, dag_run),
            reason=params["reason"] or "",
            trigger=str(getattr(dag_run.run_type, "value", dag_run.run_type)),
            engine=nightshift_engine(),
            tracking_uri=mlflow_tracking_uri(),
            git_commit=git_commit(),
        )
        names = ("model_name", "model_version", "alias", "trained")
        outlet_events[PIPELINE_MODEL].extra = {name: trained[name] for name in names}
        return trained

    @task
    def report(trained: dict[str, Any]) -> dict[str, Any]:
        from nightshift.train_pipeline_value import pipeline_training_report

        return pipeline_training_report(trained)

    report(train_and_register())


train_pipeline_value()
