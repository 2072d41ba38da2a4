"""One Slack message per failed run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.alerts.failure import RunFailure
    from include.db.alerts import RunFailures


class FailureAlert(BaseNotifier):
    """DAG-level `on_failure_callback`: tells people that a run failed, once per run.

    Airflow calls it in the dag-processor when the run is over: never for a retry, once for any number of
    mapped instances, with a `reason` of `task_failure`, `timed_out` or `all_tasks_deadlocked` in the context.
    There may be no task instance in it, and never an exception: what the tasks said comes from our database.

    Args:
        conn_id: the Slack connection to post to.
    """

    def __init__(self, conn_id: str = "slack_alerts") -> None:
        super().__init__()
        self.conn_id = conn_id

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Nothing to render. Airflow's own asks the DAG for Jinja, which that of `dag.test()` has not."""

    def notify(self, context: Context) -> None:
        """Post the alert. A failing Slack or database is logged, never raised."""
        try:
            self._alert(context)
        except Exception:
            # Nobody could do anything with it further up: Airflow itself would only log it.
            self.log.exception("the alert about run %s was not sent", context.get("run_id"))

    def _alert(self, context: Context) -> None:
        from include.alerts import SlackLedgerUnavailable, post, post_once
        from include.alerts.failure import failure_key, failure_message
        from nightshift.connections import nightshift_engine, slack_channel

        channel = slack_channel(self.conn_id)
        engine = nightshift_engine()
        try:
            failure = _describe(context, self._recorded(engine, context))
            message = failure_message(failure)
            try:
                posting = post_once(
                    engine,
                    channel,
                    failure_key(failure.dag_id, failure.run_id, failure.cleared),
                    message,
                    kind="failure",
                    dag_id=failure.dag_id,
                    run_id=failure.run_id,
                )
            except SlackLedgerUnavailable as unknown:
                # A run that failed because the database is down is the last one to keep quiet about.
                self.log.warning("%s; posting it nevertheless", unknown)
                posting = post(channel, message)
        finally:
            engine.dispose()
        done = "posted" if posting.posted else "had been posted before"
        self.log.info("the alert about run %s %s (%s)", failure.run_id, done, posting.ts)

    def _recorded(self, engine: Any, context: Context) -> RunFailures | None:
        from sqlalchemy.exc import SQLAlchemyError

        from include.db.alerts import run_failures

        try:
            return run_failures(engine, context["dag"].dag_id, context["run_id"])
        except SQLAlchemyError as error:
            self.log.warning("what the tasks said is not to be had (%s)", type(error).__name__)
            return None


def _describe(context: Context, recorded: RunFailures | None) -> RunFailure:
    """The facts of a failed run, from whatever the context holds and the tasks recorded."""
    from include.alerts.failure import FailureReason, RunFailure, can_wait_sentence
    from nightshift.links import run_url

    dag, run, ti = context["dag"], context.get("dag_run"), context.get("ti")
    reason = str(context.get("reason") or "")
    # In a run that failed by its tasks this is the one that failed last, otherwise the one it stopped at.
    airflows_task = getattr(ti, "task_id", None)
    by_tasks = reason == FailureReason.TASK_FAILED
    return RunFailure(
        dag_id=dag.dag_id,
        run_id=context["run_id"],
        date=getattr(run, "logical_date", None) or getattr(run, "run_after", None),
        reason=reason,
        run_url=run_url(dag.dag_id, context["run_id"]),
        task_id=recorded.task_id if recorded else airflows_task if by_tasks else None,
        stopped_at=None if by_tasks else airflows_task,
        error=recorded.error if recorded else None,
        instances=recorded.instances if recorded else 1,
        other_tasks=recorded.other_tasks if recorded else 0,
        cleared=getattr(run, "clear_number", None) or 0,
        timeout=dag.dagrun_timeout,
        can_wait=can_wait_sentence(dag.doc_md),
    )
