"""Fills the caches before the day begins, so that most of what applications ask is answered at once.

## What
First everything that the nights' batches answered goes into the cache: the same question asked live the next
day costs nothing. Then the questions that the coming day will probably ask are worked out from the money of
the last weeks (a score for every creative that spends, the type of every hook in use, what the AI council
says of the strongest hooks for each persona); most of them were answered by `nightly_batch_api` at half the
price, and what is still missing is asked live, dearest and likeliest first, within `llm.warm.budget_usd`.
Click rates that will probably be asked (the strongest hook templates for each persona, frequent creative DNA,
past winners) are computed for champion and challenger and put into Redis for 24 hours.
Runs when batch results land, when another version becomes champion, and at 05:30 whether they did or not.
Running it again asks only what is still missing.

## When it fails
- *CacheUnavailable*: the database was slow or away. Retried by itself; what was kept stays kept.
- *EmbedderUnavailable*: the package with the embedding model is missing from the worker's image, or
  `llm.cache.embedder` is `openai` and connection `openai_default` is not set.
- *PriceUnknown*: add the model to `prices` in `include/config/thresholds.yaml`.
- *RedisUnavailable*, *RegistryUnavailable*: retried by themselves; the prediction service computes what it
  does not find.
- Questions a model did not answer do not fail the run: `report` counts them, and they are asked when somebody
  asks them.

## Can it wait?
Yes. Until it has run, more of the day's questions go to the models at the full price, and are kept then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, dag, task

from nightshift.assets import ADS_PERFORMANCE, CHAMPION_MOVED, CTR_MODEL, LLM_CACHE, LLM_RESULTS
from nightshift.policy import every, house
from nightshift.run_day import day_param, run_day


@dag(
    **house(
        schedule=AssetOrTimeSchedule(timetable=every("30 5 * * *"), assets=LLM_RESULTS | CHAMPION_MOVED),
        tags=["llm", "models", "nightly"],
        dagrun_timeout=timedelta(hours=2),
    ),
    doc_md=__doc__,
    params={"day": day_param()},
)
def warm_caches() -> None:
    @task(inlets=[LLM_RESULTS])
    def keep_answers() -> dict[str, int]:
        from dataclasses import asdict

        from include.config import thresholds
        from include.llm.warming import keep_answered
        from nightshift.connections import nightshift_engine, semantic_cache

        engine = nightshift_engine()
        with semantic_cache(engine) as cache:
            return asdict(keep_answered(engine, cache, thresholds()))

    @task(inlets=[ADS_PERFORMANCE], outlets=[LLM_CACHE])
    def ask_what_is_missing(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from include.config import thresholds
        from include.llm.warming import ask_missing
        from nightshift.connections import live_models, nightshift_engine, semantic_cache

        engine, day = nightshift_engine(), run_day(params, dag_run)
        with semantic_cache(engine) as cache, live_models(engine) as models:
            return ask_missing(engine, cache, models, day, thresholds()).as_counts()

    @task(inlets=[CTR_MODEL])
    def compute_predictions(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        from nightshift.connections import mlflow_tracking_uri, nightshift_engine
        from nightshift.warm_predictions import compute_predictions

        return compute_predictions(
            engine=nightshift_engine(), tracking_uri=mlflow_tracking_uri(), day=run_day(params, dag_run)
        )

    @task
    def report(kept: dict[str, int], asked: dict[str, Any], predicted: dict[str, Any]) -> dict[str, Any]:
        return {
            **asked,
            "kept": kept["kept"],
            "predictions": predicted["written"],
            "summary": (
                f"{kept['kept']:,} answers of the nights kept; {asked['summary']}; {predicted['summary']}"
            ),
        }

    kept = keep_answers()
    asked = ask_what_is_missing()
    kept >> asked
    report(kept, asked, compute_predictions())


warm_caches()
