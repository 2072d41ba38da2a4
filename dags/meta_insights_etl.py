"""Fetches what every ad did: impressions, clicks, spend, purchases, and Meta's breakdowns of them.

## What
Asks Meta's Insights for every account that an API feeds, for the day of the run and the days before it
(`ads.restatement_days`), because conversions arrive late and Meta restates its numbers. Where nights were
missed, the window begins that much earlier, so one run catches up on at most `ads.catch_up_days` of them;
days it does not reach are named in its summary. Rows are merged by account, ad and day: running a day again
changes only what Meta has changed. Small questions are answered at once; large ones become report runs at
Meta, for which a task waits deferred. The breakdowns of `ads.breakdowns` are kept in `raw_data`; where their
cells do not add up to the total, the rest is kept as a cell named `unallocated`, and the run's summary says
so and how much of the spend it is. Imported accounts have nothing to fetch.

With param `since` the run loads all days from there to `day`, in slices of `ads.backfill_slice_days`, the
newest first, each slice and share of accounts a task of its own. What was interrupted goes on by clearing
the tasks that failed: accounts that are stored are not asked for again.

## When it fails
- *Meta refuses the access token*: renew it in connection `meta_ads_default`, then clear the failed tasks.
- *... accounts not loaded*: the message names the first and why; the others are stored already. Retries
  have been made where they could help. An account that is gone for good is removed from `ads.account`.
- *... it can go on at 04:10 UTC*: our calls are used up; clear the failed tasks after that time, or leave the
  days to the next night.
- *breakdown ...*: `ads.breakdowns` names one that Meta does not serve; the message says why.
- The database does not answer: see connection `nightshift_db`; clear the failed tasks when it is back.

## Can it wait?
Yes: the next run makes up for the nights that were missed, up to `ads.catch_up_days` of them. Where its
summary names days that are still missing, run them by hand with param `since`. Training and drift report
work on what is there. docs/meta.md explains every sentence of the summary.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import ADS_PERFORMANCE
from nightshift.operators.load_insights import LoadInsights
from nightshift.policy import house
from nightshift.run_day import date_param, day_param, run_day

SINCE_PARAM = date_param(
    "Since", "Load every day from here, YYYY-MM-DD, to the day of the run. Empty: the night's own window."
)


@dag(
    **house(schedule="0 1 * * *", tags=["ads", "nightly"], dagrun_timeout=timedelta(hours=12)),
    doc_md=__doc__,
    params={"day": day_param(), "since": SINCE_PARAM},
)
def meta_insights_etl() -> None:
    @task
    def choose_windows(params: dict[str, Any], dag_run: Any) -> list[dict[str, str]]:
        from include.config import thresholds
        from include.db.ads import latest_day
        from include.meta_ads.windows import windows_of_run
        from nightshift.connections import nightshift_engine

        day = run_day(params, dag_run)
        return windows_of_run(day, params.get("since"), latest_day(nightshift_engine()), thresholds().ads)

    @task
    def list_accounts() -> list[list[str]]:
        from include.config import thresholds
        from include.db.ads import accounts_in_shares
        from nightshift.connections import nightshift_engine

        return accounts_in_shares(nightshift_engine(), thresholds().ads.accounts_per_task)

    @task(outlets=[ADS_PERFORMANCE], trigger_rule="none_failed")
    def report(windows: list[dict[str, str]], loads: Any, run_id: str, outlet_events: Any) -> dict[str, Any]:
        from include.meta_ads.summary import report_of_run
        from nightshift.connections import nightshift_engine

        told = report_of_run(nightshift_engine(), run_id, windows, list(loads or []))
        known = ("since", "until", "rows", "unallocated")
        outlet_events[ADS_PERFORMANCE].extra = {name: told[name] for name in known}
        return told

    windows = choose_windows()
    loads = LoadInsights.partial(task_id="load_accounts").expand(account_ids=list_accounts(), window=windows)
    report(windows, loads.output)


meta_insights_etl()
