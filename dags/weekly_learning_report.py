"""Tells people once a week what Nightshift learnt, what it cost and what it saved.

## What
Reads the seven days that end on the day of the run: models trained, each against the version before; drift
verdicts; what language models cost and batches saved; how the ads did; what the deals brought and will bring;
which hooks and creatives stand out.
Posts one message with a chart to connection `slack_reports`, one per scope and last day: running it again
for the same day posts nothing and returns the earlier message's `slack_ts`. A week in which nothing happened
is said to be one.

## When it fails
- *SlackRefused*: token or channel of connection `slack_reports` (password, and `channel` in extra); the
  message names Slack's reason. Put it right and clear the failed task.
- *SlackUnavailable*: Slack does not answer or limits our rate; retried by itself, clear the task later.
- The database does not answer: see connection `nightshift_db`; clear the failed task when it is back.

## Can it wait?
Yes, until office hours: nothing depends on it. Clear the failed task, or trigger the DAG with the Sunday as
`day`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import (
    ADS_PERFORMANCE,
    CTR_MODEL,
    DRIFT_REPORT,
    LLM_CACHE,
    LLM_RESULTS,
    PIPELINE_FORECAST,
)
from nightshift.policy import house
from nightshift.run_day import day_param, run_day
from nightshift.scope import scope_param


@dag(
    **house(schedule="0 9 * * SUN", tags=["reports", "weekly"], dagrun_timeout=timedelta(hours=1)),
    doc_md=__doc__,
    params={"day": day_param(), "scope": scope_param()},
)
def weekly_learning_report() -> None:
    @task(inlets=[ADS_PERFORMANCE, LLM_CACHE, LLM_RESULTS, CTR_MODEL, DRIFT_REPORT, PIPELINE_FORECAST])
    def gather(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from include.alerts.weekly_facts import gather_week
        from nightshift.connections import nightshift_engine

        facts = gather_week(nightshift_engine(), run_day(params, dag_run), params["scope"])
        return facts.model_dump(mode="json")

    @task
    def post(gathered: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from include.alerts import post_once
        from include.alerts.weekly import weekly_key, weekly_message
        from include.alerts.weekly_chart import weekly_chart
        from include.alerts.weekly_facts import WeeklyFacts
        from nightshift.connections import nightshift_engine, slack_channel
        from nightshift.links import model_version_url, run_url

        facts = WeeklyFacts.model_validate(gathered)
        address = run_url(dag_run.dag_id, dag_run.run_id)
        posting = post_once(
            nightshift_engine(),
            slack_channel("slack_reports"),
            weekly_key(facts.scope, facts.until),
            weekly_message(facts, run_url=address, model_url=model_version_url),
            kind="weekly",
            dag_id=dag_run.dag_id,
            run_id=dag_run.run_id,
            picture=weekly_chart(facts),
        )
        return {"slack_ts": posting.ts, "messages": int(posting.posted)}

    @task
    def report(gathered: dict[str, Any], posting: dict[str, Any]) -> dict[str, Any]:
        from include.alerts.weekly import weekly_summary
        from include.alerts.weekly_facts import WeeklyFacts

        summary = weekly_summary(WeeklyFacts.model_validate(gathered))
        before = "" if posting["messages"] else " It had been posted before."
        return {**posting, "summary": summary + before}

    gathered = gather()
    report(gathered, post(gathered))


weekly_learning_report()
