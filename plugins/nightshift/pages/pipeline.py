"""The page about the pipeline: what campaigns and ads bring, which kinds of ads close best, stages'
norms.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from nightshift.pages.pipeline_view import pipeline_page

if TYPE_CHECKING:
    from sqlalchemy import Engine


def pipeline_pages(page: Callable[..., Response], engine: Callable[[], Engine]) -> APIRouter:
    """The routes.

    Args:
        page: renders a template by name.
        engine: on the `nightshift` database.
    """
    routes = APIRouter()

    @routes.get("/pipeline", response_class=HTMLResponse)
    def overview() -> Response:
        return page("pipeline.html", it=pipeline_page(engine(), datetime.now(UTC).date()))

    return routes
