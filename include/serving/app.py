"""Puts the service together: one app, a router per subject, the door in front, health behind.

A further subject is one more `Subject` in `__main__.py`; nothing here changes.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Engine, text

from include.config import Thresholds
from include.serving.door import Door
from include.serving.errors import add_handlers
from include.serving.keys import ApiKeys
from include.serving.llm_routes import llm_router

DESCRIPTION = (
    "What applications ask Nightshift. Every address under `/api/` wants a key, in the header `x-api-key` or "
    "as a bearer token, which is good for one or more tenants (ad accounts)."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What the service offers about one thing.

    Attributes:
        routers: its routes, under `/api/` or, for what no caller asks, beside it.
        needs: what must answer before it can; each raises when it does not.
        start, stop: called when the service begins and when it ends.
    """

    routers: Sequence[APIRouter]
    needs: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    start: Callable[[], None] = lambda: None
    stop: Callable[[], Awaitable[None]] | None = None


def create_app(keys: ApiKeys, subjects: Sequence[Subject], settings: Thresholds) -> FastAPI:
    """The service as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for subject in subjects:
            subject.start()
        yield
        for subject in subjects:
            if subject.stop is not None:
                await subject.stop()

    app = FastAPI(title="Nightshift", description=DESCRIPTION, version="1", redoc_url=None, lifespan=lifespan)
    app.add_middleware(Door, keys=keys, limits=settings.serving)
    add_handlers(app)
    for subject in subjects:
        for router in subject.routers:
            app.include_router(router)
    needs = {name: check for subject in subjects for name, check in subject.needs.items()}

    @app.get("/healthz", tags=["health"], summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Whether everything it needs answers")
    def readyz() -> Response:
        states = {name: _state(name, check) for name, check in needs.items()}
        return JSONResponse(states, 200 if set(states.values()) <= {"ok"} else 503)

    return app


def llm_subject(engine: Engine, settings: Thresholds) -> Subject:
    """Language-model requests for tonight."""

    def database() -> None:
        with engine.connect() as conn:
            conn.execute(text("SELECT FROM llm.llm_request LIMIT 1"))

    return Subject([llm_router(engine, settings)], {"database": database})


def _state(name: str, check: Callable[[], None]) -> str:
    try:
        check()
    except Exception as error:  # whatever it is, the service is not ready
        log.warning("%s is not ready: %s", name, type(error).__name__)
        return "does not answer"
    return "ok"
