"""What the tasks of `hubspot_etl` do: each reads one stream over connection `hubspot_default`.

Where the portal's calls of the day are used up, a task ends in peace: nothing is wrong then, and the next run
goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from nightshift.run_day import date_param

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.config.crm import CrmThresholds
    from include.crm.client import HubSpotClient
    from include.crm.people import PeopleKey

    Read = Callable[[Engine, HubSpotClient, PeopleKey, CrmThresholds], dict[str, Any]]


def mode_param() -> Param:
    """How much is read."""
    return Param(
        "incremental",
        type="string",
        enum=["incremental", "full", "reconcile"],
        title="Mode",
        description="incremental: what changed since the last run. full: everything anew. reconcile: compare "
        "everything, read what differs.",
    )


def since_param() -> Param:
    """A day to read from again, or nothing."""
    return date_param(
        "Since",
        "Read again all that changed since the beginning of this day (UTC), YYYY-MM-DD. Empty: since "
        "the last run. Only in mode incremental.",
    )


def read_stream(stream: str, before: dict[str, Any], params: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Read one of `include.crm.report.STREAMS`, and record the run in `crm.sync_run`.

    Args:
        before: what this function returned of the stream before, empty for the first. Where the calls of the
            day were used up there and the day is not over, HubSpot is not asked, and no run recorded.
        params: `mode` and `since` of the run.

    Returns:
        The counts of the stream's function; `stopped` (a sentence) and `resumes_at` where the portal's calls
        of the day are used up. What was read is stored then.

    Raises:
        CrmNotConnected, CrmTokenRefused, CrmRequestRefused: somebody has to act.
        CrmBusy, CrmUnreachable: trying again may help.
        ValueError: `since` is no date of the calendar.
    """
    from include.config import thresholds
    from include.crm.errors import CrmDailyLimit
    from include.crm.opening import open_crm
    from include.db import crm_sync
    from nightshift.connections import connection, nightshift_engine

    if before.get("stopped") and datetime.now(UTC) < datetime.fromisoformat(before["resumes_at"]):
        return {name: before[name] for name in ("stopped", "resumes_at")}
    read = _reader(stream, params["mode"], _moment(params.get("since")))
    engine, settings, found = nightshift_engine(), thresholds().crm, connection("hubspot_default")
    client, key = open_crm(engine, settings, host=found.host, token=found.password, extra=found.extra_dejson)
    crm_sync.begin_run(engine, run_id, stream, params["mode"])
    with client:
        try:
            done = read(engine, client, key, settings)
        except CrmDailyLimit as limit:
            done = {"stopped": str(limit), "resumes_at": limit.resumes_at.isoformat()}
    crm_sync.end_run(engine, run_id, stream, done)
    return done


def refuse_standstill() -> None:
    """Say so where for days no run has read everything.

    Raises:
        CrmStandsStill: the first of them began longer ago than `crm.incomplete_days`.
    """
    from include.config import thresholds
    from include.crm.errors import CrmStandsStill
    from include.db import crm_sync
    from nightshift.connections import nightshift_engine

    since, most = crm_sync.incomplete_since(nightshift_engine()), thresholds().crm.incomplete_days
    if since is not None and datetime.now(UTC) - since > timedelta(days=most):
        raise CrmStandsStill(
            f"no run has read HubSpot to its end since {since:%Y-%m-%d %H:%M} UTC, so nothing is forecast "
            "from its deals: the summary of task sum_up says what ends the runs; where it is the portal's "
            "daily calls, raise their limit or find what else uses them up. What was read is kept, and the "
            "next run goes on from there"
        )


def _reader(stream: str, mode: Any, since: datetime | None) -> Read:
    from include.crm.checks import check_deals
    from include.crm.contacts import COMPANIES, CONTACTS, load_linked
    from include.crm.deals import load_archived_deals, load_deals
    from include.crm.directory import load_directory

    readers: dict[str, Read] = {
        "directory": lambda engine, client, key, _: load_directory(
            engine, client, key, new_key=mode == "full"
        ),
        "deals": lambda engine, client, _, settings: load_deals(
            engine, client, settings, mode=mode, since=since
        ),
        "archived_deals": lambda engine, client, _, settings: load_archived_deals(engine, client, settings),
        "contacts": partial(load_linked, kind=CONTACTS, mode=mode, since=since),
        "companies": partial(load_linked, kind=COMPANIES, mode=mode, since=since),
        "check": lambda engine, client, _, settings: check_deals(engine, client, settings),
    }
    return readers[stream]


def _moment(since: str | None) -> datetime | None:
    if not since:
        return None
    try:
        return datetime.fromisoformat(since).replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"param since is '{since}', not a date like 2026-01-31") from error
