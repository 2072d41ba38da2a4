"""Puts the sandbox together: one state, one clock, the vendors' routes, the pages, the gate around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from include.errors import PermanentError
from include.sandbox.anthropic import anthropic_router, refused
from include.sandbox.batches import BatchLedger, BatchRefused
from include.sandbox.channels import Workspace
from include.sandbox.control import control_router
from include.sandbox.credentials import require_loopback_host
from include.sandbox.faults import FaultTable
from include.sandbox.gate import FaultGate
from include.sandbox.gemini import gemini_router
from include.sandbox.hubspot import hubspot_router
from include.sandbox.hubspot_limits import HubSpotLimits
from include.sandbox.hubspot_store import HubSpotStore
from include.sandbox.inbox import PAGE_HEADERS, inbox_router, page_environment
from include.sandbox.meta import meta_router
from include.sandbox.openai import PREFIX as OPENAI
from include.sandbox.openai import openai_router, worded
from include.sandbox.openai_batches import OpenAIBatchLedger
from include.sandbox.openai_files import OpenAIFiles
from include.sandbox.slack import slack_router
from include.sandbox.state import SandboxState, VirtualClock
from include.sandbox.world import WorldProvider, world_of_database

DEFAULT_BATCH_SECONDS = 15.0
STATE_FILE = "sandbox.sqlite3"
VENDORS = (
    ("/anthropic", "Anthropic: Messages and Message Batches"),
    ("/openai/v1", "OpenAI: Files, Batches, Chat Completions, Responses, Embeddings"),
    ("/gemini/v1beta", "Gemini: questions about videos"),
    ("/slack/api/", "Slack: Web API (post, update, upload)"),
    ("/slack/services/T0/CHANNEL/KEY", "Slack: incoming webhook"),
    ("/meta", "Meta: ad accounts, ads and insights of the simulated world"),
    ("/hubspot", "HubSpot: deals, contacts, companies, pipelines and owners that follow from it"),
)
CONTROLS = (
    ("GET /control/state", "requests per route, batches, the bill, Slack messages by channel, faults"),
    ("GET /control/slack/CHANNEL", "the messages of one channel as data"),
    ("POST, GET, DELETE /control/faults", "order, list and clear faults"),
    ("POST /control/hubspot/...", "merge, archive, delete_pipeline, touch, set, limits, seed, work"),
    ("POST /control/clock", 'move the clock: {"advance_seconds": 3600}'),
    ("POST /control/reset", "forget everything"),
)


class SandboxNotSafe(PermanentError):
    """The sandbox would start without a key, or where others could reach it."""


def create_app(
    state_path: Path,
    api_key: str,
    world_provider: WorldProvider | None = None,
    batch_seconds: float = DEFAULT_BATCH_SECONDS,
) -> FaultGate:
    """The sandbox as an ASGI application.

    Args:
        state_path: the SQLite file, or the folder to keep it in.
        api_key: the one key that all vendors and the control routes accept.
        world_provider: gives the simulated world of the ads feed, or None while there is none; by default the
            world stored in the database of the connection `nightshift_db`.
        batch_seconds: virtual seconds after which a message batch has ended.

    Raises:
        SandboxNotSafe: the key is empty.
        StateUnusable: the state file cannot be used.
    """
    if not api_key:
        raise SandboxNotSafe("the sandbox needs a key: set NIGHTSHIFT_SANDBOX_KEY to a random word")
    state = SandboxState(state_path if state_path.suffix else state_path / STATE_FILE)
    clock = VirtualClock(state)
    faults = FaultTable(state)
    ledger = BatchLedger(state, clock, batch_seconds)
    files = OpenAIFiles(state, clock)
    openai_ledger = OpenAIBatchLedger(state, clock, files, batch_seconds)
    workspace = Workspace(state, clock)
    workspace.open_channels()
    pages = page_environment()
    worlds = world_provider or world_of_database()
    hubspot_limits = HubSpotLimits(state, clock)
    hubspot = HubSpotStore(state, clock, worlds, lambda: hubspot_limits.limit("search_lag_s"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        state.close()

    app = FastAPI(title="Nightshift vendor sandbox", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.clock = clock
    app.add_exception_handler(BatchRefused, _refusal)
    app.include_router(anthropic_router(state, clock, ledger, api_key))
    app.include_router(openai_router(state, clock, files, openai_ledger, api_key))
    app.include_router(gemini_router(api_key))
    app.include_router(slack_router(workspace, api_key))
    app.include_router(inbox_router(workspace, pages))
    app.include_router(meta_router(worlds, api_key, state, clock))
    app.include_router(hubspot_router(hubspot, hubspot_limits, api_key))
    app.include_router(
        control_router(
            state, clock, faults, ledger, openai_ledger, workspace, hubspot, hubspot_limits, api_key
        )
    )

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        state.row("SELECT 1 FROM setting")
        return {"status": "ok"}

    @app.get("/", response_class=HTMLResponse, dependencies=[Depends(require_loopback_host)])
    def index(request: Request) -> Response:
        origin = str(request.base_url).rstrip("/")
        html = pages.get_template("index.html").render(origin=origin, vendors=VENDORS, controls=CONTROLS)
        return HTMLResponse(html, headers=PAGE_HEADERS)

    return FaultGate(app, faults)


def _refusal(request: Request, error: Exception) -> Response:
    """Each vendor words its own refusals."""
    if isinstance(error, BatchRefused) and request.url.path.startswith(f"{OPENAI}/"):
        return worded(error.error)
    return refused(request, error)
