"""Fetches a window of Insights for some accounts and merges it into the database.

An interrupted run goes on: with the same `run_key`, accounts that it has stored are not asked for again until
the task that stored them has succeeded.

Of every account the unbroken totals are asked first; how many rows they have decides how the breakdowns are
asked. Each account is one transaction, made when all its answers are there. One that fails does not keep the
others from being loaded; what failed is said at the end, as an error that a retry can or cannot help.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.config.ads import AdsThresholds
from include.db import ads
from include.db.insight_loads import close_loads, loaded_already, record_load
from include.db.merging import Merged
from include.errors import PermanentError, TransientError
from include.meta_ads.client import MetaClient
from include.meta_ads.errors import (
    AccountsFailed,
    AccountsUnavailable,
    MetaThrottled,
    MetaTokenRefused,
)
from include.meta_ads.queries import TOTALS, Query, expected_cells
from include.meta_ads.reconciliation import Mismatch, reconcile, unallocated_spend
from include.meta_ads.reports import Answer, InsightReader, StartedReport
from include.meta_ads.rows import nest, number, performance_row
from include.meta_ads.storing import ads_that_delivered, store_ads

SHOWN = 5

_log = logging.getLogger(__name__)


@dataclass
class WindowLoad:
    """What one load of a window did.

    Attributes:
        accounts: how many were loaded.
        rows: ad-days that came; `inserted` were new, `changed` differed from what was stored.
        mismatches: breakdowns that did not add up to their total.
        earlier_mismatches: how many there were in accounts stored before the run was interrupted.
        strays: cells of ad-days that the totals did not have yet.
        attribution: rows by the attribution setting Meta told.
        unloaded: accounts that are not loaded because Meta is still working on reports, which `under_way`
            lists; those that failed meanwhile are among them, to be tried once more.
    """

    accounts: int = 0
    rows: int = 0
    inserted: int = 0
    changed: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    earlier_mismatches: int = 0
    strays: int = 0
    attribution: dict[str, int] = field(default_factory=dict)
    unloaded: list[str] = field(default_factory=list)
    under_way: list[StartedReport] = field(default_factory=list)

    def count(self, merged: Merged) -> None:
        """Add what became of an account's rows."""
        self.accounts += 1
        self.rows += merged.rows
        self.inserted += merged.inserted
        self.changed += merged.changed

    def counts(self) -> dict[str, Any]:
        """Plain numbers, and the first mismatches as sentences."""
        return {
            "accounts": self.accounts,
            "rows": self.rows,
            "inserted": self.inserted,
            "changed": self.changed,
            "mismatches": len(self.mismatches) + self.earlier_mismatches,
            "exceeding": sum(mismatch.exceeds for mismatch in self.mismatches),
            "strays": self.strays,
            "attribution": self.attribution,
            # What tells too much is the rarer and the worse.
            "mismatches_shown": [
                str(mismatch) for mismatch in sorted(self.mismatches, key=lambda m: not m.exceeds)[:SHOWN]
            ],
        }


def load_window(
    engine: Engine,
    client: MetaClient,
    account_ids: Sequence[str],
    since: date,
    until: date,
    settings: AdsThresholds,
    *,
    run_key: str,
    hold_s: float | None = None,
    adopted: Iterable[StartedReport] = (),
    **clock: Any,
) -> WindowLoad:
    """Fetch `since` to `until`, inclusive, for each account and merge it.

    Args:
        engine: the `nightshift` database.
        client: an open client.
        account_ids: accounts that `ads.account` holds.
        since, until: the window.
        settings: `thresholds().ads`.
        run_key: names the run; `finish_window` ends it.
        hold_s: after so long with nothing to do but wait for reports, return; what is still under way is
            told. None to wait for them.
        adopted: reports for this window that an earlier call left under way.
        clock: `pause` and `now` of `InsightReader`.

    Raises:
        MetaTokenRefused: at once; no account could be loaded with this token.
        AccountsUnavailable: some accounts failed, at least one for a passing reason.
        AccountsFailed: some accounts failed, all for good.
    """
    reader = InsightReader(client, settings.reports, hold_s=hold_s, adopted=adopted, **clock)
    load = _Load(engine, client, settings, reader, run_key)
    stored = loaded_already(engine, run_key, since, until)
    for account_id in account_ids:
        if account_id in stored:
            _log.info("account %s was stored before the run was interrupted", account_id)
            load.done.count(stored[account_id].merged)
            load.done.earlier_mismatches += stored[account_id].mismatches
        else:
            load.open(account_id, since, until)
    try:
        for answer in reader.answers():
            load.take(answer)
    except MetaThrottled as error:
        raise AccountsUnavailable(
            f"Meta refuses all calls: {load.done.accounts} of {len(account_ids)} accounts are loaded for "
            f"{since} to {until}; {error}"
        ) from error
    done = load.done
    for mismatch in done.mismatches[:SHOWN]:
        _log.warning("breakdown does not add up: %s", mismatch)
    if done.strays:
        _log.warning(
            "%d cells of ad-days that the totals did not have yet: the next night has them", done.strays
        )
    if load.failures and not reader.waits:
        account_id, first = next(iter(load.failures.items()))
        message = (
            f"{len(load.failures)} of {len(account_ids)} accounts not loaded for {since} to {until}; "
            f"the first is {account_id}: {first}"
        )
        passing = any(isinstance(error, TransientError) for error in load.failures.values())
        raise (AccountsUnavailable if passing else AccountsFailed)(message)
    left = {*load.open_accounts, *load.failures}
    done.unloaded = [account_id for account_id in account_ids if account_id in left]
    done.under_way = reader.under_way(load.open_accounts) if reader.waits else []
    return done


def finish_window(
    engine: Engine, account_ids: Sequence[str], since: date, until: date, *, run_key: str
) -> None:
    """Note that a task has loaded all its accounts: should it run again, it loads them again."""
    close_loads(engine, run_key, since, until, account_ids)


@dataclass
class _OpenAccount:
    """An account whose answers are not all there yet."""

    totals: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class _Load:
    """Puts answers together and stores each account as soon as it is complete."""

    def __init__(
        self,
        engine: Engine,
        client: MetaClient,
        settings: AdsThresholds,
        reader: InsightReader,
        run_key: str,
    ) -> None:
        self._engine = engine
        self._client = client
        self._settings = settings
        self._reader = reader
        self._run_key = run_key
        self.open_accounts: dict[str, _OpenAccount] = {}
        self.failures: dict[str, Exception] = {}
        self.done = WindowLoad()

    def open(self, account_id: str, since: date, until: date) -> None:
        """Ask for an account's totals."""
        self.open_accounts[account_id] = _OpenAccount()
        query = Query(account_id, since, until)
        self._reader.want(query, at_once=query.days < self._settings.reports.from_days)

    def take(self, answer: Answer) -> None:
        """Use an answer; with an account's last one, store it."""
        account_id = answer.query.account_id
        if answer.error is not None:
            self._fail(account_id, answer.error)
            return
        account = self.open_accounts[account_id]
        if answer.query.breakdown == TOTALS:
            account.totals = answer.rows
            if answer.rows:
                self._ask_for_cells(answer.query, len(answer.rows))
                return
        else:
            account.cells[answer.query.breakdown] = answer.rows
            if len(account.cells) < len(self._settings.breakdowns):
                return
        try:
            self._store(answer.query, account)
        except MetaTokenRefused:
            raise
        except (TransientError, PermanentError) as error:
            if isinstance(error, MetaThrottled) and error.everywhere:
                raise
            self._fail(account_id, error)
        else:
            del self.open_accounts[account_id]

    def _ask_for_cells(self, totals: Query, rows: int) -> None:
        for breakdown in reversed(self._settings.breakdowns):
            query = Query(totals.account_id, totals.since, totals.until, breakdown)
            expected = rows * expected_cells(breakdown)
            self._reader.want(query, at_once=expected < self._settings.reports.from_rows, first=True)

    def _store(self, asked: Query, account: _OpenAccount) -> None:
        account_id = asked.account_id
        insights, strays = nest(account.totals, account.cells)
        checked = [
            reconcile(account_id, insight, self._settings.breakdown_tolerance_usd) for insight in insights
        ]
        # Ads that did nothing in the window can wait for theirs.
        delivered = ads_that_delivered(insights, self._client.ads(account_id)) if insights else []
        with self._engine.begin() as connection:
            if delivered:
                store_ads(connection, account_id, delivered)
            merged = ads.upsert_performance(
                connection, (performance_row(account_id, row) for row, _ in checked)
            )
            mismatches = [mismatch for _, found in checked for mismatch in found]
            record_load(
                connection,
                account_id,
                asked.since,
                asked.until,
                run_key=self._run_key,
                merged=merged,
                spend=sum((number(insight, "spend") for insight in insights), Decimal(0)),
                unallocated=unallocated_spend(mismatches),
                mismatches=len(mismatches),
            )
        done = self.done
        done.count(merged)
        done.strays += strays
        done.mismatches += mismatches
        for insight in insights:
            setting = str(insight.get("attribution_setting", "untold"))
            done.attribution[setting] = done.attribution.get(setting, 0) + 1

    def _fail(self, account_id: str, error: Exception) -> None:
        _log.error("account %s not loaded: %s", account_id, error)
        self.failures[account_id] = error
        self.open_accounts.pop(account_id, None)
