"""Reads HubSpot's deals: where each has been, what it was worth and whose it was, and whom it is with.

## What
Asks HubSpot what changed since the last run and reads those deals with the whole history of their stage,
amount and owner, and with the contacts and companies they belong to. Pipelines, stages and owners are read
first; a stage that HubSpot deletes stays here with the time it ended. The first run reads everything. Each
step is stored with how far it came, so a run that is stopped goes on where it stopped, and running twice
changes nothing. At the end the deals of every pipeline are counted against HubSpot, and each deal's stage
against its history: what differs is read again, and what still differs is said in the summary.
E-mails, phones and domains are stored as keyed HMACs only, names and free texts not at all.

Param `since` reads again what changed since a day. Mode `reconcile` compares every deal and reads what
differs; mode `full` reads everything anew. Param `day` changes nothing here: HubSpot tells the present.

## When it fails
- *CrmTokenRefused*: put a valid private-app token into connection `hubspot_default`, then clear the failed
  tasks: they go on where they stopped.
- *CrmRequestRefused*: the message names the scope or the request; docs/hubspot.md lists the scopes.
- *CrmNotConnected*: the connection lacks its host or its `hmac_key`, or has those of another portal.
- *CrmBusy*, *CrmUnreachable*: retried here and by Airflow; clear the failed tasks later.
- *... calls of today are used up* in the summary is no failure: the next run goes on from there. Nothing is
  forecast before all is read.
- *CrmStandsStill*: for `crm.incomplete_days` (3) no run has read everything; the message says what to do.

## Can it wait?
Yes: the next run reads everything since the last one that ended. HubSpot keeps archived deals for 90 days.
docs/hubspot.md explains every sentence of the summary.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from nightshift.assets import CRM_DEALS
from nightshift.policy import house
from nightshift.read_crm import mode_param, since_param
from nightshift.run_day import day_param

# A portal of a million deals takes hours the first time, at the speed HubSpot allows.
LONG = timedelta(hours=10)


@dag(
    **house(schedule="15 1 * * *", tags=["crm", "nightly"], dagrun_timeout=timedelta(hours=12)),
    doc_md=__doc__,
    params={"day": day_param(), "mode": mode_param(), "since": since_param()},
)
def hubspot_etl() -> None:
    @task(execution_timeout=LONG)
    def read(stream: str, before: dict[str, Any], params: dict[str, Any], run_id: str) -> dict[str, Any]:
        from nightshift.read_crm import read_stream

        return read_stream(stream, before, params, run_id)

    @task
    def sum_up(done: dict[str, Any]) -> dict[str, Any]:
        from include.config import thresholds
        from include.crm.report import summarise

        return summarise(done, thresholds().crm.notes_shown)

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def is_complete(told: dict[str, Any]) -> bool:
        from nightshift.read_crm import refuse_standstill

        if not told["complete"]:
            refuse_standstill()
        return bool(told["complete"])

    # Of half a portal nobody should forecast anything: the run that reads the rest publishes it.
    @task(outlets=[CRM_DEALS])
    def publish(told: dict[str, Any], outlet_events: Any) -> None:
        outlet_events[CRM_DEALS].extra = {name: told[name] for name in ("deals_live", "deals_changed")}

    @task(trigger_rule="none_failed")
    def report(told: dict[str, Any]) -> dict[str, Any]:
        return told

    done: dict[str, Any] = {}
    before: Any = {}
    for stream in ("directory", "deals", "archived_deals", "contacts", "companies", "check"):
        task_id = stream if stream == "check" else f"read_{stream}"
        done[stream] = before = read.override(task_id=task_id)(stream, before)
    told = sum_up(done)
    published = publish(told)
    is_complete(told) >> published >> report(told)


hubspot_etl()
