"""The routes tests steer the sandbox with: faults, clock, reset, and what happened so far."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from include.sandbox.batches import BatchLedger
from include.sandbox.channels import SlackRefused, Workspace
from include.sandbox.credentials import presented_key, same_key
from include.sandbox.faults import VENDORS, FaultOrder, FaultRefused, FaultTable
from include.sandbox.hubspot_control import hubspot_control_router
from include.sandbox.hubspot_limits import HubSpotLimits
from include.sandbox.hubspot_store import HubSpotStore
from include.sandbox.openai_batches import OpenAIBatchLedger
from include.sandbox.state import SandboxState, VirtualClock

MOST_TOLD = 1_000
BILL = """
SELECT vendor, mode, model, sum(requests) AS requests, sum(input_tokens) AS input_tokens,
       sum(cache_write_tokens) AS cache_write_tokens, sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
       sum(cache_read_tokens) AS cache_read_tokens, sum(output_tokens) AS output_tokens
FROM bill GROUP BY vendor, mode, model ORDER BY vendor, mode, model
"""
OPENAI_BATCHES = """
SELECT count(*) AS created, coalesce(sum(size), 0) AS requests,
       coalesce(sum(counts IS NOT NULL AND errors IS NULL AND NOT expiring AND cancelled_at IS NULL), 0)
           AS completed,
       coalesce(sum(counts IS NOT NULL AND errors IS NOT NULL), 0) AS failed,
       coalesce(sum(counts IS NOT NULL AND expiring AND cancelled_at IS NULL), 0) AS expired,
       coalesce(sum(counts IS NOT NULL AND cancelled_at IS NOT NULL), 0) AS cancelled
FROM openai_batch
"""
OPENAI_FILES = """
SELECT count(*) AS uploaded, coalesce(sum(deleted), 0) AS deleted FROM openai_file
"""
BATCHES = """
SELECT count(*) AS created, coalesce(sum(size), 0) AS requests, coalesce(sum(deleted), 0) AS deleted,
       coalesce(sum(counts IS NOT NULL), 0) AS ended, coalesce(sum(cancelled_at IS NOT NULL), 0) AS cancelled
FROM batch
"""


class ClockMove(BaseModel):
    """How far to move the sandbox's clock."""

    model_config = ConfigDict(extra="forbid")

    advance_seconds: Annotated[float, Field(ge=0)]


def control_router(
    state: SandboxState,
    clock: VirtualClock,
    faults: FaultTable,
    ledger: BatchLedger,
    openai_ledger: OpenAIBatchLedger,
    workspace: Workspace,
    hubspot: HubSpotStore,
    hubspot_limits: HubSpotLimits,
    api_key: str,
) -> APIRouter:
    """The routes below /control; all need the key."""

    def authenticated(request: Request) -> None:
        if not same_key(presented_key(request), api_key):
            raise HTTPException(
                401, "the control routes need the sandbox's key, as a bearer token or x-api-key"
            )

    router = APIRouter(prefix="/control", dependencies=[Depends(authenticated)])
    router.include_router(hubspot_control_router(hubspot, hubspot_limits))

    @router.get("/faults")
    def list_faults() -> dict[str, Any]:
        return {"faults": faults.listed()}

    @router.post("/faults", status_code=201)
    def order_fault(wanted: FaultOrder) -> dict[str, Any]:
        try:
            return {"id": faults.order(wanted)}
        except FaultRefused as refusal:
            raise HTTPException(422, str(refusal)) from refusal

    @router.delete("/faults")
    def clear_faults() -> dict[str, Any]:
        faults.clear()
        return {"faults": []}

    @router.get("/clock")
    def read_clock() -> dict[str, Any]:
        return _time(clock)

    @router.post("/clock")
    def move_clock(move: ClockMove) -> dict[str, Any]:
        clock.advance(move.advance_seconds)
        return _time(clock)

    @router.post("/reset")
    def reset() -> dict[str, Any]:
        state.clear()
        clock.reset()
        hubspot_limits.reset()
        workspace.open_channels()
        return {"reset": True}

    @router.get("/state")
    def read_state() -> dict[str, Any]:
        ledger.settle_due()
        openai_ledger.settle_due()
        requests: dict[str, dict[str, int]] = {vendor: {} for vendor in VENDORS}
        for row in state.rows("SELECT * FROM served ORDER BY vendor, route"):
            requests[row["vendor"]][row["route"]] = row["n"]
        return {
            "clock": _time(clock),
            "requests": requests,
            "batches": dict(state.rows(BATCHES)[0]),
            "openai_batches": dict(state.rows(OPENAI_BATCHES)[0]),
            "openai_files": dict(state.rows(OPENAI_FILES)[0]),
            "bill": [dict(row) for row in state.rows(BILL)],
            "slack": {channel.name: channel.messages for channel in workspace.channels()},
            "faults": faults.listed(),
        }

    @router.get("/slack/{channel}")
    def read_channel(channel: str) -> dict[str, Any]:
        try:
            messages = workspace.messages(workspace.channel_id(channel), MOST_TOLD)
        except SlackRefused as refusal:
            raise HTTPException(404, f"no channel '{channel}'") from refusal
        return {"messages": messages}

    return router


def _time(clock: VirtualClock) -> dict[str, Any]:
    now = datetime.fromtimestamp(clock.now(), UTC)
    return {"now": now.isoformat(), "offset_seconds": clock.offset()}
