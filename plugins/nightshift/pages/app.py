"""Nightshift's pages: what language-model work costs and saves, how far batches are, who is champion, drift.

Read only, and for people who are logged in to Airflow. The pages run no script: Airflow shows them in a frame
that allows little, and what they show was partly written by others.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader
from sqlalchemy.exc import SQLAlchemyError

from include.config import thresholds
from include.llm.overview import batches_page, savings_page
from nightshift.pages import shapes
from nightshift.pages.creative_effects import picture_pages
from nightshift.pages.drift import drift_pages
from nightshift.pages.features import feature_pages
from nightshift.pages.models import model_pages
from nightshift.pages.pipeline import pipeline_pages

if TYPE_CHECKING:
    from sqlalchemy import Engine

TEMPLATES = Path(__file__).parent / "templates"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "cache-control": "no-store",
}
MOST_DAYS = 90


def create_app() -> FastAPI:
    """The application; every route needs Airflow's login."""
    app = FastAPI(
        title="Nightshift pages",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(requires_authenticated())],
    )
    pages = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    pages.filters |= {name: getattr(shapes, name) for name in shapes.__all__}

    def page(name: str, *, status: int = 200, **values: Any) -> Response:
        html = pages.get_template(name).render(now=datetime.now(UTC), **values)
        return HTMLResponse(html, status, headers=HEADERS)

    @app.exception_handler(SQLAlchemyError)
    def database_away(request: Request, error: Exception) -> Response:
        html = pages.get_template("away.html").render(kind=type(error).__name__)
        return HTMLResponse(html, 503, headers=HEADERS)

    @app.get("/llm", response_class=HTMLResponse)
    def savings(days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 14) -> Response:
        until = datetime.now(UTC).date()
        since = until - timedelta(days=days - 1)
        return page("savings.html", it=savings_page(_engine(), since, until, thresholds()), days=days)

    @app.get("/llm/batches", response_class=HTMLResponse)
    def batches(day: date | None = None) -> Response:
        return page("batches.html", it=batches_page(_engine(), day or datetime.now(UTC).date()))

    app.include_router(model_pages(page, lambda: _engine()))
    app.include_router(drift_pages(page, lambda: _engine()))
    app.include_router(feature_pages(page, lambda: _engine()))
    app.include_router(picture_pages(page, lambda: _engine()))
    app.include_router(pipeline_pages(page, lambda: _engine()))
    return app


@cache
def _engine() -> Engine:
    """One engine for the life of the API server."""
    from nightshift.connections import nightshift_engine

    return nightshift_engine()
