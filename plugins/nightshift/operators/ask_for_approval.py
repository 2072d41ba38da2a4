"""A task that waits for a person's yes or no about a candidate; it holds no worker while it waits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"

# Until `execute` reads the configuration, which no DAG file may do. There must be one: Airflow would take
# the execution timeout for it.
_SOME_TIMEOUT = timedelta(hours=24)


class AskForApproval(HITLOperator):
    """Puts the evidence to a person in Airflow's Required Actions, and says so on Slack.

    Who does not answer within `promotion.approval_hours` has rejected, which is told apart from a
    person's rejection. Only `promotion.approvers` may answer, where there are any. The execution
    timeout is about the seconds before it waits and after it was answered.

    Args:
        gathered: what `gather_evidence` returned.
        conn_id: the Slack connection to ask on.

    Returns:
        answer (`promote`, `reject` or `time_out`), who and reason.
    """

    template_fields = ("gathered",)
    ui_color = "#dce9f7"

    def __init__(
        self, *, gathered: Any, conn_id: str = "slack_alerts", params: Any = None, **kwargs: Any
    ) -> None:
        # `params` are the DAG's, handed in by Airflow; the question has a form of its own.
        super().__init__(
            subject="Shall this version become champion?",
            options=[APPROVE, REJECT],
            defaults=REJECT,
            params={
                "reason": Param(
                    None,
                    type=["null", "string"],
                    maxLength=500,
                    title="Reason",
                    description="Why; kept with the version and shown on Slack.",
                )
            },
            response_timeout=_SOME_TIMEOUT,
            **kwargs,
        )
        self.gathered = gathered
        self.conn_id = conn_id

    def execute(self, context: Context) -> None:
        """Write the question down, tell Slack, and wait."""
        from include.config import thresholds

        model, version = self.gathered["model"], self.gathered["candidate"]
        self.subject = f"Shall {model} v{version} become champion?"
        self.body = f"{self.gathered['markdown']}\n[All of the evidence]({self.gathered['page']})\n"
        promotion = thresholds().promotion
        self.response_timeout = timedelta(hours=promotion.approval_hours)
        self.assigned_users = [{"id": user, "name": user} for user in promotion.approvers] or None
        # Called when the question is there to be answered.
        self.notifiers = [self._tell]
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Go on with the answer.

        Raises:
            HITLTriggerEventError, ValueError: Airflow brought no answer of the form that was asked for.
        """
        told = super().execute_complete(context, event)
        person = told["responded_by_user"]
        if event.get("timedout") or person is None:
            return {"answer": "time_out", "who": "nobody", "reason": "nobody answered in time"}
        answer = "promote" if told["chosen_options"] == [APPROVE] else "reject"
        return {
            "answer": answer,
            "who": str(person["name"] or person["id"]),
            "reason": str(told["params_input"].get("reason") or ""),
        }

    def _tell(self, context: Context) -> None:
        """Say on Slack that somebody is waited for. Where Slack refuses, Airflow's own page shows it."""
        from include.alerts import SlackRefused
        from nightshift.connections import nightshift_engine, slack_channel
        from nightshift.links import task_answer_url
        from nightshift.promote import ask_on_slack

        ti = context["ti"]
        engine = nightshift_engine()
        try:
            ask_on_slack(
                self.gathered,
                engine=engine,
                channel=slack_channel(self.conn_id),
                run_id=ti.run_id,
                answer_url=task_answer_url(ti.dag_id, ti.run_id, ti.task_id),
            )
        except SlackRefused as refusal:
            self.log.error("nobody was told on Slack that an answer is wanted: %s", refusal)
        finally:
            engine.dispose()
