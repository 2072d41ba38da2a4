"""Makes the previous champion champion again: one trigger, effective within seconds.

## What
Moves alias `champion` of a registered model back to the champion before, and `previous_champion` one
further back, so that it can be done again. The version that is left gets tags that say who rolled back and
why; the move is kept in `ml.alias_move` and told on Slack. Param `champion` names the version to leave,
where somebody else may be rolling back at the same moment: without it, a second roll-back within a few
minutes is refused. The same from a terminal: `python -m include.promotion roll-back --model ctr --why
"..."`.

## When it fails
- *NothingToRollBackTo*: no earlier champion is left. Trigger promote_model with the version you want.
- *RolledBackJustNow*, *ChampionChanged*: somebody was quicker. Look at Nightshift's page about models
  first.
- *RegistryUnavailable*: MLflow did not answer. Retried by itself; a roll-back cut off in between is
  completed.

## Can it wait?
No: whoever triggers it thinks that the champion is doing harm. Until it succeeds, the champion goes on
serving.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import ALIAS_MOVED, CHAMPION_MOVED
from nightshift.model_params import model_param, reason_param, version_param
from nightshift.policy import house
from nightshift.run_day import day_param


@dag(
    **house(
        schedule=None,
        tags=["models"],
        dagrun_timeout=timedelta(hours=1),
        # Who needs it must not have to find out first that it is paused.
        is_paused_upon_creation=False,
    ),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "model": model_param(),
        "champion": version_param(
            "Champion to leave", "Only if this version is champion. Empty: whichever is."
        ),
        "reason": reason_param(),
    },
)
def roll_back_model() -> None:
    @task(outlets=[ALIAS_MOVED, CHAMPION_MOVED])
    def roll_back(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.promote import roll_back_model

        return roll_back_model(
            model=params["model"],
            champion=params["champion"],
            who=dag_run.triggering_user_name or "somebody in Airflow",
            why=params["reason"],
            engine=nightshift_engine(),
            tracking_uri=mlflow_tracking_uri(),
            run_id=dag_run.run_id,
        )

    @task
    def report(rolled_back: dict[str, Any]) -> dict[str, Any]:
        return rolled_back

    report(roll_back())


roll_back_model()
