"""The pages about models: behind Airflow's login, true to the books, safe with what others wrote."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine

from include.db import experiments
from include.db import promotion as books
from include.db.promotion import Action, Decision, NewMove

EVIDENCE = {
    "model": "ctr",
    "candidate": {"version": 3, "trained_for": "2026-01-20", "rows": "900"},
    "champion": {"version": 1, "trained_for": "2026-01-10", "rows": "800"},
    "metrics": [
        {"name": "mae_pp", "champion": 0.3, "candidate": 0.25, "better": True},
        {"name": "normalized_entropy", "champion": 0.9, "candidate": 0.95, "better": False},
        {"name": "trees", "champion": None, "candidate": 120.0, "better": None},
    ],
    "verdict": {"summary": "Challenger <b>wins</b>.", "numbers": {"p_value": 0.0123456}, "arms": {"a": 1}},
    "drift": {"day": "2026-01-21", "severity": "high", "summary": "ctr moved", "model_version": 1},
    "reason": "<script>alert(1)</script>",
}


def opened(db: Engine) -> books.Promotion:
    return books.open_promotion(
        db,
        model_name="ctr",
        candidate_version=3,
        champion_version=1,
        evidence=EVIDENCE,
        dag_run_id="manual__2026-01-22",
    )


@pytest.mark.parametrize("path", ["/nightshift/models", "/nightshift/models/promotions/1"])
def test_nobody_reads_them_without_logging_in(airflow_app: Any, path: str) -> None:
    assert airflow_app.get(path).status_code == 401


def test_an_empty_house_says_what_will_be_there(visitor: Any) -> None:
    page = visitor.get("/nightshift/models")
    assert page.status_code == 200
    for words in ("No model is known yet", "Nobody has asked for a promotion", "Nothing has moved yet"):
        assert words in page.text


def test_models_moves_and_open_promotions_are_listed(db: Engine, visitor: Any) -> None:
    books.record(
        db,
        NewMove("ctr", Action.BY_HAND, 2, 1, "somebody in MLflow", "<i>why</i>"),
        {"champion": 1, "previous_champion": 2, "challenger": 3},
    )
    number = opened(db).promotion_id
    page = visitor.get("/nightshift/models").text
    assert '<span class="mark good">v1</span>' in page
    assert "by hand" in page
    assert "&lt;i&gt;why&lt;/i&gt;" in page
    assert "waits for an answer" in page
    assert f'href="models/promotions/{number}"' in page


def test_experiments_are_listed_with_what_was_seen_last(db: Engine, visitor: Any) -> None:
    test = experiments.open_experiment(
        db,
        model_name="ctr",
        champion_version=3,
        challenger_version=4,
        unit="account",
        salt="s",
        settings={"challenger_share": 0.1},
        smallest_effect="Only a third would be seen.",
        started_by="a test",
        first_day=date(2026, 1, 2),
    )
    assert "Only a third would be seen." in visitor.get("/nightshift/models").text
    look = experiments.Look(date(2026, 1, 9), "extend", "Go on <b>please</b>.", {"day": 7.0})
    experiments.keep_look(db, test.id, look)
    page = visitor.get("/nightshift/models").text
    assert "10 % of accounts" in page
    assert "Go on &lt;b&gt;please&lt;/b&gt;." in page
    assert "outcomes up to 2026-01-09" in page


def test_the_evidence_shows_figures_verdict_drift_and_where_to_answer(db: Engine, visitor: Any) -> None:
    number = opened(db).promotion_id
    page = visitor.get(f"/nightshift/models/promotions/{number}").text
    assert "Shall ctr v3 become champion?" in page
    assert "1 of 2</b>figures better" in page
    assert '<td class="n">0.3</td><td class="n">0.25</td><td><span class="mark good">better</span>' in page
    assert '<span class="mark bad">worse</span>' in page
    assert '<td class="n">–</td><td class="n">120</td><td>–</td>' in page
    assert "Challenger &lt;b&gt;wins&lt;/b&gt;." in page
    assert '<th>p value</th><td class="n">0.012346</td>' in page
    assert "arms" not in page
    assert "2026-01-21: ctr moved" in page
    assert "<script>" not in page
    assert "/dags/promote_model/runs/manual__2026-01-22/tasks/ask_a_person/required_actions" in page
    assert "/#/models/ctr/versions/3" in page


def test_a_decided_promotion_says_who_and_why_and_asks_no_more(db: Engine, visitor: Any) -> None:
    number = opened(db).promotion_id
    books.decide_promotion(db, number, Decision.TIMED_OUT, decided_by="nobody", reason="nobody answered")
    page = visitor.get(f"/nightshift/models/promotions/{number}").text
    assert "timed out</b>by nobody" in page
    assert "nobody answered" in page
    assert "required_actions" not in page


def test_a_first_champion_without_experiment_drift_or_figures_is_shown_too(db: Engine, visitor: Any) -> None:
    bare = {**EVIDENCE, "champion": None, "metrics": [], "verdict": None, "drift": None, "reason": ""}
    number = books.open_promotion(
        db, model_name="ctr", candidate_version=3, champion_version=None, evidence=bare, dag_run_id="r"
    ).promotion_id
    page = visitor.get(f"/nightshift/models/promotions/{number}").text
    for words in (
        "none</b>champion then",
        "No experiment was run",
        "No drift report",
        "Neither version has figures",
    ):
        assert words in page


def test_a_promotion_that_is_none_says_so(visitor: Any) -> None:
    page = visitor.get("/nightshift/models/promotions/77")
    assert page.status_code == 404
    assert "There is no promotion 77" in page.text
    assert visitor.get("/nightshift/models/promotions/x").status_code == 422
    assert visitor.get("/nightshift/models/promotions/99999999999999999999").status_code == 422
