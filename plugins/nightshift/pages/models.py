"""The pages about models: which version is what, who moved it, and the evidence of each promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, Response

from include.db.promotion import promotion
from include.promotion.evidence import verdict_facts, verdict_sentence
from include.promotion.overview import models_page
from nightshift import links

if TYPE_CHECKING:
    from sqlalchemy import Engine

LARGEST_ID = 2**63 - 1


def model_pages(page: Callable[..., Response], engine: Callable[[], Engine]) -> APIRouter:
    """The routes.

    Args:
        page: renders a template by name.
        engine: on the `nightshift` database.
    """
    routes = APIRouter()

    @routes.get("/models", response_class=HTMLResponse)
    def models() -> Response:
        return page("models.html", it=models_page(engine()))

    @routes.get("/models/promotions/{promotion_id}", response_class=HTMLResponse)
    def evidence(promotion_id: int = Path(ge=1, le=LARGEST_ID)) -> Response:
        found = promotion(engine(), promotion_id)
        if found is None:
            return page("no_promotion.html", status=404, promotion_id=promotion_id)
        return page(
            "promotion.html",
            it=found,
            verdict=verdict_sentence(found.evidence.get("verdict")),
            facts=verdict_facts(found.evidence.get("verdict")),
            run_url=links.run_url("promote_model", found.dag_run_id),
            answer_url=links.task_answer_url("promote_model", found.dag_run_id, "ask_a_person"),
            candidate_url=links.model_version_url(found.model_name, found.candidate_version),
        )

    return routes
