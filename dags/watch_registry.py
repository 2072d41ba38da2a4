"""Sees what happened to the aliases in MLflow without us, makes it good where it can, and tells.

## What
Compares the aliases of every registered model with our books (`ml.model_alias`). A move that was cut off is
completed; a champion moved by hand in MLflow is taken as meant and written down; one that vanished is
restored, or replaced by the champion before; where none is left, that is said. Everything is kept in
`ml.alias_move` and told on Slack, once each; a change of the champion is announced as
asset `nightshift://models/champion_moved`. Starts when MLflow says that an alias moved (its webhook,
which this DAG keeps, leads to asset `nightshift://models/alias_moved`), and every 15 minutes as the safety
net: MLflow does not tell of deleted versions.

## When it fails
- *RegistryUnavailable*: MLflow did not answer. Retried by itself, and the next run sees the same.
- *RegistryRefused* in `keep_webhook`: MLflow does not take the address; see MLFLOW_WEBHOOK_ALLOWED_SCHEMES
  and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS of its server. Moves are then noticed every 15 minutes only.
- `tell` fails: see the Slack connections; what was not told is told by the next run, for two days.

## Can it wait?
An hour: until it runs, a lost champion stays lost and a move by hand has no way back. Predictions go on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, dag, task

from nightshift.assets import ALIAS_MOVED, CHAMPION_MOVED
from nightshift.policy import every, house
from nightshift.run_day import day_param


@dag(
    **house(
        schedule=AssetOrTimeSchedule(timetable=every("*/15 * * * *"), assets=[ALIAS_MOVED]),
        tags=["models"],
        dagrun_timeout=timedelta(hours=1),
        is_paused_upon_creation=False,
    ),
    doc_md=__doc__,
    params={"day": day_param()},
)
def watch_registry() -> None:
    @task
    def look() -> dict[str, Any]:
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.watch_aliases import reconcile_models

        return reconcile_models(engine=nightshift_engine(), tracking_uri=mlflow_tracking_uri())

    @task
    def tell(looked: dict[str, Any]) -> dict[str, int]:
        from nightshift.connections import nightshift_engine
        from nightshift.watch_aliases import tell_findings

        return tell_findings(looked["findings"], engine=nightshift_engine())

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def has_a_champion_moved(looked: dict[str, Any]) -> bool:
        from nightshift.watch_aliases import champions_moved

        return bool(champions_moved(looked))

    @task(outlets=[CHAMPION_MOVED])
    def announce(looked: dict[str, Any], outlet_events: Any) -> list[str]:
        from nightshift.watch_aliases import champions_moved

        moved = champions_moved(looked)
        outlet_events[CHAMPION_MOVED].extra = {"models": moved}
        return moved

    @task
    def keep_webhook() -> str:
        from nightshift.connections import mlflow_tracking_uri
        from nightshift.watch_aliases import keep_webhook

        return keep_webhook(mlflow_tracking_uri())

    @task(trigger_rule="none_failed_min_one_success")
    def report(looked: dict[str, Any], told: dict[str, int], webhook: str) -> dict[str, Any]:
        from nightshift.watch_aliases import watch_report

        return watch_report(looked, told, webhook)

    looked = look()
    announced = announce(looked)
    has_a_champion_moved(looked) >> announced
    announced >> report(looked, tell(looked), keep_webhook())


watch_registry()
