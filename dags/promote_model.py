"""Makes a candidate champion when a person says so: evidence, question, answer, and its trace everywhere.

## What
Gathers what speaks for and against a version (param `version`, by default the challenger): its figures
beside the champion's, the experiment's verdict, drift since training. A message with a button goes to
`slack_alerts`, and `ask_a_person` waits, without a worker, under Required Actions. Approve leads to
`promote`, reject to `reject`, no answer within `promotion.approval_hours` to `time_out`, which rejects too.
Each writes `ml.promotion`, tags on the version in MLflow, and Slack. Models under `promotion.automatic` are
promoted without a person. If the champion changed since the evidence was made, nothing moves: the run ends
as `refused`. Starts by hand or on `nightshift://models/promotion_wanted`. More: `docs/promote.md`.

## When it fails
- *NothingToPromote*, *VersionUnknown*: the model has no challenger, or MLflow no such version. Nothing
  moved.
- *RegistryUnavailable*: MLflow did not answer. Retried by itself; a promotion cut off in between is
  completed by the retry, or by `watch_registry`. *RegistryRefused*: MLflow said no, see the message.
- *PromotionRequestInvalid*: the asset event that started the run is malformed; mend whoever sent it.
- `ask_a_person` cannot reach Slack: the question still stands under Required Actions.

## Can it wait?
Yes: the champion goes on serving. A question nobody answers in time is a rejection; clear the run to ask
again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import ALIAS_MOVED, CHAMPION_MOVED, CTR_MODEL, DRIFT_REPORT, PROMOTION_WANTED
from nightshift.model_params import model_param, reason_param, version_param
from nightshift.operators.ask_for_approval import AskForApproval
from nightshift.policy import house
from nightshift.run_day import day_param


@dag(
    **house(
        schedule=[PROMOTION_WANTED],
        tags=["models"],
        # Longer than anybody is waited for.
        dagrun_timeout=timedelta(days=7),
        # It starts by no clock, and a question that is paused is asked by nobody.
        is_paused_upon_creation=False,
    ),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "model": model_param(),
        "version": version_param("Version", "The candidate. Empty: the model's challenger."),
        "reason": reason_param(),
    },
)
def promote_model() -> None:
    @task(inlets=[CTR_MODEL, DRIFT_REPORT])
    def gather_evidence(params: dict[str, Any], dag_run: Any, triggering_asset_events: Any) -> dict[str, Any]:
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.promote import gather, plan_promotion

        wanted = [event.extra for event in triggering_asset_events.get(PROMOTION_WANTED, ())]
        return gather(
            plan_promotion(params, wanted),
            engine=nightshift_engine(),
            tracking_uri=mlflow_tracking_uri(),
            run_id=dag_run.run_id,
        )

    @task.branch
    def choose_path(gathered: dict[str, Any]) -> list[str]:
        from nightshift.promote import next_tasks

        return next_tasks(gathered)

    @task.branch
    def act_on_answer(answered: dict[str, str]) -> str:
        return answered["answer"]

    @task(outlets=[ALIAS_MOVED, CHAMPION_MOVED])
    def promote(gathered: dict[str, Any], answered: dict[str, str], dag_run: Any) -> dict[str, str]:
        return _promoted(gathered, answered["who"], answered["reason"], dag_run)

    @task(outlets=[ALIAS_MOVED, CHAMPION_MOVED])
    def promote_automatically(gathered: dict[str, Any], dag_run: Any) -> dict[str, str]:
        from nightshift.promote import BY_CONFIGURATION

        return _promoted(gathered, BY_CONFIGURATION, "", dag_run)

    @task
    def reject(gathered: dict[str, Any], answered: dict[str, str], dag_run: Any) -> dict[str, str]:
        return _ended("rejected", gathered, answered, dag_run)

    @task
    def time_out(gathered: dict[str, Any], answered: dict[str, str], dag_run: Any) -> dict[str, str]:
        return _ended("timed_out", gathered, answered, dag_run)

    @task(outlets=[PROMOTION_WANTED])
    def put_off(gathered: dict[str, Any], outlet_events: Any) -> int:
        outlet_events[PROMOTION_WANTED].extra = {"wanted": gathered["later"]}
        return len(gathered["later"])

    @task(trigger_rule="none_failed_min_one_success")
    def report(gathered: dict[str, Any]) -> dict[str, Any]:
        from nightshift.connections import nightshift_engine
        from nightshift.promote import promotion_report

        return promotion_report(gathered, engine=nightshift_engine())

    gathered = gather_evidence()
    ask_a_person = AskForApproval(task_id="ask_a_person", gathered=gathered)
    answered = ask_a_person.output
    automatic, later = promote_automatically(gathered), put_off(gathered)
    ends = [promote(gathered, answered), reject(gathered, answered), time_out(gathered, answered)]
    choose_path(gathered) >> [ask_a_person, automatic, later]
    act_on_answer(answered) >> ends
    [*ends, automatic, later] >> report(gathered)


def _promoted(gathered: dict[str, Any], who: str, why: str, dag_run: Any) -> dict[str, str]:
    from nightshift.connections import mlflow_tracking_uri, nightshift_engine
    from nightshift.promote import promote_candidate

    return promote_candidate(
        gathered,
        who=who,
        why=why,
        engine=nightshift_engine(),
        tracking_uri=mlflow_tracking_uri(),
        run_id=dag_run.run_id,
    )


def _ended(state: str, gathered: dict[str, Any], answered: dict[str, str], dag_run: Any) -> dict[str, str]:
    from include.db.promotion import Decision
    from nightshift.connections import mlflow_tracking_uri, nightshift_engine
    from nightshift.promote import end_promotion

    return end_promotion(
        gathered,
        Decision(state),
        who=answered["who"],
        why=answered["reason"],
        engine=nightshift_engine(),
        tracking_uri=mlflow_tracking_uri(),
        run_id=dag_run.run_id,
    )


promote_model()
