"""Asks the language models what can wait until night, through the vendors' Batch APIs at half the price.

## What
Everything in the request queue that fits into the night leaves in batches, to Anthropic and OpenAI: what
applications queued (through `include.llm` or `POST /api/llm/requests`), and a score for every creative that
has none, those launched this week first, then those that spend most. After them leave the questions that
tomorrow will probably ask, so that `warm_caches` finds their answers. What the semantic cache knows is
answered from it. The budget of the night and of each account (`llm.budget`), the vendors' quotas and
`llm.requests_per_night` (or `limit`) decide what waits; accounts take turns. The DAG waits without holding a
worker (the button *Batches of this night* on `wait_for_batches` shows how far they are), stores answers, and
books what the vendors charged next to what it would have cost live. Running a day again finds its batches and
sends nothing twice; batches that an earlier night left unfinished are brought to their end too.

## When it fails
- *VendorRefused*: the key of the vendor's connection (`anthropic_default`, `openai_default`), or the vendor
  account (credit, permission). Put it right and clear the failed task; nothing was lost.
- *VendorNotConnected*: requests are queued for a vendor without a connection. Set it up and clear.
- *BatchSubmissionUnknown*, *VendorBusy*: the vendor did not answer. Retried by itself: the next attempt looks
  for the batch before it posts again, so it is never paid for twice.
- *BatchUnknown*: a batch was deleted, or sent with another key or host. Put the connection back and clear
  `collect_results`. If the batch is gone for good, its requests are asked again when the vendor would have
  thrown its results away (29 or 30 days).
- *PriceUnknown*: add the model to `prices` in `include/config/thresholds.yaml`.
- `wait_for_batches` past its deadline cancels what is left; what was done by then is collected, the rest is
  queued for the next night. Marking it failed cancels too, clearing it does not.
- Single requests that fail do not fail the run: they are counted in `report`, with the reason in
  `llm.llm_request.error`; lines nobody could read are in `llm.quarantined_line`. So are batches the vendor
  took and then refused, as OpenAI does when too many tokens are enqueued: their requests wait for the next
  night.

## Can it wait?
Yes. Answers are a day late, nothing else; the next night takes up what this one left. Requests with a
deadline (`not_after`) are failed when it passes. Results stay with the vendors for 29 days.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from nightshift.assets import ADS_PERFORMANCE, LLM_RESULTS
from nightshift.operators.wait_for_batches import WaitForBatches
from nightshift.policy import house
from nightshift.run_day import day_param, run_day


@dag(
    # A batch may take a day; the wait ends by itself after 25 hours and a quarter.
    **house(schedule="0 2 * * *", tags=["llm", "nightly"], dagrun_timeout=timedelta(hours=27)),
    doc_md=__doc__,
    params={
        "day": day_param(),
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            maximum=100_000,
            title="Most requests",
            description="what this night may send in all; empty: llm.requests_per_night",
        ),
    },
)
def nightly_batch_api() -> None:
    @task(inlets=[ADS_PERFORMANCE])
    def queue_unscored_creatives(params: dict[str, Any], dag_run: Any) -> dict[str, int]:
        from dataclasses import asdict

        from include.config import thresholds
        from include.llm.scoring import queue_unscored_creatives
        from nightshift.connections import nightshift_engine

        day = run_day(params, dag_run)
        return asdict(queue_unscored_creatives(nightshift_engine(), day, thresholds()))

    @task
    def queue_questions_of_tomorrow(params: dict[str, Any], dag_run: Any) -> dict[str, int]:
        from dataclasses import asdict

        from include.config import thresholds
        from include.llm.warming import queue_for_tomorrow
        from nightshift.connections import nightshift_engine, semantic_cache

        engine = nightshift_engine()
        with semantic_cache(engine) as cache:
            return asdict(queue_for_tomorrow(engine, cache, run_day(params, dag_run), thresholds()))

    @task
    def submit_batches(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from include.config import thresholds
        from include.llm.batches import plan_night
        from include.llm.submission import submit_batches
        from nightshift.connections import batch_vendors, nightshift_engine

        day = run_day(params, dag_run)
        engine, settings = nightshift_engine(), thresholds()
        plan = plan_night(engine, day, settings, most=params["limit"])
        with batch_vendors() as vendors:
            submissions = submit_batches(engine, vendors, plan.open_batch_ids, settings.llm)
        return {
            "day": day.isoformat(),
            "batch_ids": [batch.batch_id for batch in submissions.submitted],
            "vendor_batches": {batch.vendor_batch_id: batch.vendor for batch in submissions.submitted},
            "requests": sum(batch.requests for batch in submissions.submitted),
            "new_requests": plan.new_requests,
            "from_cache": plan.from_cache,
            "overdue": plan.overdue,
            "waiting": plan.waiting,
            "refused_batches": len(submissions.refusals),
            "wait_until": submissions.wait_until(settings.llm),
        }

    @task(outlets=[LLM_RESULTS])
    def collect_results(batches: dict[str, Any]) -> dict[str, int]:
        from include.config import thresholds
        from include.llm.collection import collect_batches, outcome_totals
        from nightshift.connections import batch_vendors, nightshift_engine

        with batch_vendors() as vendors:
            collected = collect_batches(nightshift_engine(), vendors, batches["batch_ids"], thresholds())
        return outcome_totals(collected)

    @task
    def report(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from include.llm.night import night_report
        from nightshift.connections import nightshift_engine

        return night_report(nightshift_engine(), run_day(params, dag_run)).as_counts()

    submitted = submit_batches()
    collected = collect_results(submitted)
    queue_unscored_creatives() >> queue_questions_of_tomorrow() >> submitted
    submitted >> WaitForBatches(task_id="wait_for_batches", batches=submitted) >> collected >> report()


nightly_batch_api()
