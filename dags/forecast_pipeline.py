"""Tells every day what open deals are expected to bring, and each campaign's and ad's pipeline ROAS.

## What
The champion of `pipeline_value` tells of every open deal whether, when and for how much it will be won.
Per campaign and per ad: what deals created in the last 90 days (`window_days`) have brought, what they
are expected to bring within 60 days (`horizon_days`), over what was spent, with an interval. Deals that
no trace leads from to an ad are a row of their own. Deals that these days' ads will still bring are not
counted. Kept in `ml.pipeline_forecast` and `ml.pipeline_report`, shown under *Browse > Pipeline*. Starts
when hubspot_etl has stored deals (asset `nightshift://crm/deals`) and when a version of the model was
made. A day again replaces its rows.

## When it fails
- No champion yet, or no deals, fail nothing: the report says what to do.
- *CrmInputInvalid*: rows that cannot be right; the message names the table and the deal. Correct it in
  the CRM.
- *PipelineModelInvalid*: the champion was written by other code. Trigger train_pipeline_value, promote
  its version.
- *RegistryUnavailable*: MLflow did not answer. Retried by itself.

## Can it wait?
Yes, for days: the page shows the last forecast, and its date.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import CRM_DEALS, PIPELINE_FORECAST, PIPELINE_MODEL
from nightshift.policy import house
from nightshift.run_day import day_param, run_day


@dag(
    **house(
        schedule=CRM_DEALS | PIPELINE_MODEL,
        tags=["models", "crm", "nightly"],
        dagrun_timeout=timedelta(hours=1),
    ),
    doc_md=__doc__,
    params={"day": day_param()},
)
def forecast_pipeline() -> None:
    @task(inlets=[CRM_DEALS], outlets=[PIPELINE_FORECAST])
    def forecast(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.forecast_pipeline import forecast_and_keep

        return forecast_and_keep(
            day=run_day(params, dag_run), engine=nightshift_engine(), tracking_uri=mlflow_tracking_uri()
        )

    @task
    def report(made: dict[str, Any]) -> dict[str, Any]:
        from nightshift.forecast_pipeline import forecast_report

        return forecast_report(made)

    report(forecast())


forecast_pipeline()
