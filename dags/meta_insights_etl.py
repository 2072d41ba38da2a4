"""Fetches what every ad did: impressions, clicks, spend, purchases, and Meta's breakdowns of them.

## What
Asks Meta's Insights for every account that an API feeds, for the day of the run and the few days before it
(`ads.restatement_days`), because conversions arrive late and Meta restates its numbers. Where nights were
missed, the window begins that much earlier, so one run catches up on at most `ads.catch_up_days` of them;
days it does not reach are named in its summary. Rows are merged by account, ad and day: running a day again
changes only what Meta has changed. Breakdowns by placement, by age
and gender, and by device are kept in `raw_data`; where their cells do not add up to the total, the rest is
kept as a cell named `unallocated` and the run's summary says so. Imported accounts have nothing to fetch.

## When it fails
- *Meta refuses the access token*: renew it in connection `meta_ads_default`, then clear the failed tasks.
- *... accounts not loaded*: the message names the first and why; the others are stored already. Retries
  have been made where they could help. An account that is gone for good is removed from `ads.account`.
- The database does not answer: see connection `nightshift_db`; clear the failed tasks when it is back.

## Can it wait?
Yes: the next run makes up for the nights that were missed, up to `ads.catch_up_days` of them. Where its
summary names days that are still missing, run them by hand with param `day`, each run reaching
`ads.restatement_days` back. Training and drift report work on what is there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import ADS_PERFORMANCE
from nightshift.policy import house
from nightshift.run_day import DAY_PARAM, run_day


@dag(
    **house(schedule="0 1 * * *", tags=["ads", "nightly"], dagrun_timeout=timedelta(hours=2)),
    doc_md=__doc__,
    params={"day": DAY_PARAM},
)
def meta_insights_etl() -> None:
    @task
    def choose_window(params: dict[str, Any], dag_run: Any) -> dict[str, str]:
        from include.config import thresholds
        from include.db.ads import latest_day
        from include.meta_ads.loading import window_to_fetch
        from nightshift.connections import nightshift_engine

        settings = thresholds().ads
        return window_to_fetch(
            run_day(params, dag_run),
            latest_day(nightshift_engine()),
            restatement_days=settings.restatement_days,
            catch_up_days=settings.catch_up_days,
        )

    @task
    def list_accounts() -> list[list[str]]:
        from include.config import thresholds
        from include.db.ads import accounts_in_shares
        from nightshift.connections import nightshift_engine

        return accounts_in_shares(nightshift_engine(), thresholds().ads.accounts_per_task)

    @task
    def load_accounts(account_ids: list[str], window: dict[str, str]) -> dict[str, Any]:
        from datetime import date

        from include.config import thresholds
        from include.meta_ads.client import MetaClient
        from include.meta_ads.loading import load_window
        from nightshift.connections import connection, nightshift_engine

        settings, meta = thresholds().ads, connection("meta_ads_default")
        since, until = (date.fromisoformat(window[end]) for end in ("since", "until"))
        with MetaClient.of_settings(meta.host or "", meta.password or "", settings) as client:
            loaded = load_window(
                nightshift_engine(), client, account_ids, since, until, settings.breakdown_tolerance_usd
            )
        return loaded.counts()

    @task(outlets=[ADS_PERFORMANCE], trigger_rule="none_failed")
    def report(window: dict[str, str], loads: Any, outlet_events: Any) -> dict[str, Any]:
        from include.meta_ads.loading import summarise

        told = summarise(window, list(loads or []))
        outlet_events[ADS_PERFORMANCE].extra = {
            "since": told["since"],
            "until": told["until"],
            "rows": told["rows"],
        }
        return told

    window = choose_window()
    report(window, load_accounts.partial(window=window).expand(account_ids=list_accounts()))


meta_insights_etl()
