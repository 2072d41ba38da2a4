"""One Slack message per failed run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context


class FailureAlert(BaseNotifier):
    """DAG-level `on_failure_callback`: tells `slack_alerts` that a run failed, once per run."""

    def notify(self, context: Context) -> None:
        """Post the alert; never raises."""
