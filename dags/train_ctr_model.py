"""Learns how often ads are clicked, and registers the model with everything that is known about it.

## What
Reads what ads did (one scope: `all` accounts an API feeds, or one account), makes features that only know
earlier days, trains XGBoost, LightGBM and a small neural network, makes one calibrated model of them (with
trees of its own for a niche where they are proved better), and judges it by new ads of the newest days (or
other ads, where an export has no dates). The model goes to MLflow as `ctr` or `ctr_<account>` with metrics,
plots, data window, model card and an ONNX bundle for serving: the first version is champion, later ones that
pass their gates (`ctr.gates`) are challenger. Starts on Sundays, by hand, and when drift_report asks for a
model (asset `nightshift://models/ctr/retrain_wanted`). The same data and settings again find the version
there is and make none.

Mode `full` learns anew. Mode `update`, which drift_report asks for, is a tournament: recalibrate the
champion, go on from it, learn anew from everything, learn anew from the recent days; `incremental` tries the
first two. They learn from half of the ads of the days after the champion's last one, the other half judges on
the newest of these days, then the other way round. A version is made only of what is proved better than
keeping the champion; the report tells before and after, or that nothing helped (also kept in
`ml.model_update`). `niche` grows only the niches' trees anew, where they are proved to help.

## When it fails
- *TrainingDataInsufficient*, *NoPerformanceRows*: too little data in the window; the message says how much
  there is and is needed. Run meta_insights_etl for the missing days, or import an export, then trigger again.
- *ContinuationRefused*: there is no champion to go on from, or, in a run by hand, too few new rows. Trigger
  with mode `full`. A champion that has learnt all days already, and too few rows where drift asked, are no
  failure: the report says so.
- *LeakageFound*, *ParityFailed*: a fault of the code; nothing was registered. The message names the feature
  or the row.
- *FeatureInputInvalid*: rows that cannot be right; the message names ad and column. Correct the source.
- `tell` fails: see connection `slack_alerts`; the model is registered nevertheless. It answers the Slack
  message of the drift that asked.
- *RegistryUnavailable*: MLflow did not answer. Retried by itself; an attempt that died half-way is cleared
  up by the next one. *RegistryRefused*: MLflow said no, see the message.

## Can it wait?
Yes, for days: the champion goes on serving. After drift of high severity rather not past the morning.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, Param, dag, task

from nightshift.assets import ADS_PERFORMANCE, CTR_MODEL, RETRAIN_WANTED
from nightshift.policy import every, house
from nightshift.run_day import day_param, run_day
from nightshift.scope import scope_param


@dag(
    **house(
        schedule=AssetOrTimeSchedule(timetable=every("0 4 * * SUN"), assets=[RETRAIN_WANTED]),
        tags=["models", "weekly"],
        dagrun_timeout=timedelta(hours=2),
    ),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "scope": scope_param(),
        # Null, not "": an empty text counts as missing in the form, which then cannot be sent.
        "reason": Param(
            None,
            type=["null", "string"],
            maxLength=200,
            title="Reason",
            description="why, in a few words; kept with the version",
        ),
        "mode": Param(
            "full",
            type="string",
            enum=["full", "update", "incremental", "niche"],
            title="Mode",
            description=(
                "full: anew; update: whatever is proved better than the champion on the newest days; "
                "incremental: the same, but only small changes of it; niche: only the niches' own trees"
            ),
        ),
    },
)
def train_ctr_model() -> None:
    @task
    def choose_window(
        params: dict[str, Any], dag_run: Any, triggering_asset_events: Any
    ) -> list[dict[str, Any]]:
        from include.config import thresholds
        from nightshift.train_model import plan_trainings

        return plan_trainings(
            day=run_day(params, dag_run),
            scope=params["scope"],
            reason=params["reason"] or "",
            trigger=str(getattr(dag_run.run_type, "value", dag_run.run_type)),
            wanted=[event.extra for event in triggering_asset_events.get(RETRAIN_WANTED, ())],
            max_days=thresholds().ctr.max_training_days,
            mode=params["mode"],
        )

    @task(inlets=[ADS_PERFORMANCE], outlets=[CTR_MODEL])
    def train_and_register(plan: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        from include.config.commit import git_commit
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.train_model import train_and_register

        trained = train_and_register(
            plan, engine=nightshift_engine(), tracking_uri=mlflow_tracking_uri(), git_commit=git_commit()
        )
        names = ("model_name", "model_version", "alias", "trained")
        outlet_events[CTR_MODEL].extra = {name: trained[name] for name in names}
        return trained

    @task
    def report(trainings: Any) -> dict[str, Any]:
        from nightshift.train_model import training_report

        return training_report(list(trainings))

    @task
    def tell(trainings: Any, dag_run: Any) -> dict[str, int]:
        from nightshift.connections import nightshift_engine, slack_channel
        from nightshift.links import dag_url, run_url
        from nightshift.tell_drift import tell_updates, updates_to_tell

        asked = updates_to_tell(trainings)
        if not asked:
            return {"posted": 0}
        posted = tell_updates(
            asked,
            engine=nightshift_engine(),
            channel=slack_channel("slack_alerts"),
            run_id=dag_run.run_id,
            run_url=run_url(dag_run.dag_id, dag_run.run_id),
            promote_url=dag_url("promote_model"),
        )
        return {"posted": posted}

    trained = train_and_register.expand(plan=choose_window())
    tell(trained) >> report(trained)


train_ctr_model()
