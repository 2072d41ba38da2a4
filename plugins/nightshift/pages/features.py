"""The page about mined features: what each means, how often it is known, and which earn their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from nightshift.pages.features_view import features_page

if TYPE_CHECKING:
    from sqlalchemy import Engine


def feature_pages(page: Callable[..., Response], engine: Callable[[], Engine]) -> APIRouter:
    """The routes.

    Args:
        page: renders a template by name.
        engine: on the `nightshift` database.
    """
    routes = APIRouter()

    @routes.get("/features", response_class=HTMLResponse)
    def features() -> Response:
        return page("features.html", it=features_page(engine()))

    return routes
