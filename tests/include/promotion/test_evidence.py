"""What the approver sees: figures side by side and judged, the verdict, drift since training."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from include.db.ml import DriftReport, record_drift_report
from include.promotion import NothingToPromote, VersionUnknown, gather_evidence
from tests.include.promotion.registry import register_version

OLD = {
    "mae_pp": 0.30,
    "normalized_entropy": 0.95,
    "predicted_actual_ratio": 0.9,
    "mae_pp_constant": 0.5,
    "rows": 9,
}
NEW = {
    "mae_pp": 0.25,
    "normalized_entropy": 0.97,
    "predicted_actual_ratio": 1.05,
    "mae_pp_constant": 0.4,
    "auc": 0.7,
}
TAGS = {
    "trained_for": "2026-01-10",
    "window_start": "2025-10-01",
    "window_end": "2026-01-10",
    "rows": "9",
    "reason": "a | pipe",
}


@pytest.fixture
def pair(client: Any, model: str) -> str:
    """The model with champion v4 and challenger v5, which have figures."""
    register_version(client, model, metrics=OLD, tags=TAGS)
    register_version(client, model, metrics=NEW, tags={"trained_for": "2026-01-20"})
    client.set_registered_model_alias(model, "champion", "4")
    client.set_registered_model_alias(model, "challenger", "5")
    return model


def report(db: Any, model: str, day: date, severity: str = "high") -> None:
    record_drift_report(
        db,
        DriftReport(model, "all", day, 4, "then", "now", severity, "alert", f"{day}: moved", {}, None),
    )


def test_figures_are_judged_each_by_its_own_measure_and_those_of_the_baseline_are_not(
    db: Any, client: Any, pair: str
) -> None:
    evidence = gather_evidence(db, client, pair)
    better = {figure.name: figure.better for figure in evidence.metrics}
    assert better == {
        "mae_pp": True,
        "normalized_entropy": False,
        "predicted_actual_ratio": True,
        "auc": None,
        "mae_pp_constant": None,
        "rows": None,
    }
    assert evidence.summary == f"Candidate v5 of '{pair}' against champion v4: better in 2 of 3 figures."
    assert (evidence.candidate.version, evidence.champion.version) == (5, 4)


def test_drift_counts_from_the_day_the_champion_was_trained_and_only_where_it_could_be_told(
    db: Any, client: Any, pair: str
) -> None:
    report(db, pair, date(2026, 1, 9))
    assert gather_evidence(db, client, pair).drift is None
    report(db, pair, date(2026, 1, 12), "low")
    report(db, pair, date(2026, 1, 13), "cannot_tell")
    drift = gather_evidence(db, client, pair).drift
    assert (drift.day, drift.severity, drift.model_version) == ("2026-01-12", "low", 4)


def test_the_question_shows_all_of_it_and_words_of_others_stay_words(db: Any, client: Any, pair: str) -> None:
    report(db, pair, date(2026, 1, 12))
    numbers = {"p_value": 0.0123456, "arms": {"a": 1}}
    verdict = {"decision": "promote", "paragraph": "Challenger wins.", "numbers": numbers}
    evidence = gather_evidence(db, client, pair, verdict=verdict, reason="[click](http://x) <b>")
    body = evidence.markdown()
    assert "| mae\\_pp | 0.3 | 0.25 | better |" in body
    assert "| normalized\\_entropy | 0.95 | 0.97 | **worse** |" in body
    assert "Challenger wins." in body
    assert "- decision: promote" in body
    assert "- p\\_value: 0.012346" in body
    assert "2026-01-12: high." in body
    assert "\\[click\\](http://x) \\<b\\>" in body
    assert "(a \\| pipe)" in body
    assert json.loads(json.dumps(evidence.as_json(), allow_nan=False))["metrics"][0]["name"] == "mae_pp"


def test_without_verdict_or_champion_that_is_said(db: Any, client: Any, model: str) -> None:
    client.delete_registered_model_alias(model, "champion")
    body = gather_evidence(db, client, model, 2).markdown()
    assert "against no champion: no figures to compare" in body
    assert "No experiment was run" in body
    assert "No drift report since the champion was trained" in body


def test_a_figure_that_is_no_number_is_none(db: Any, client: Any, model: str) -> None:
    version = register_version(client, model, metrics={"mae_pp": float("nan")})
    figures = gather_evidence(db, client, model, version).metrics
    assert [(figure.candidate, figure.better) for figure in figures] == [(None, None)]


def test_there_must_be_something_to_promote(db: Any, client: Any, model: str) -> None:
    with pytest.raises(NothingToPromote, match="champion already"):
        gather_evidence(db, client, model, 1)
    with pytest.raises(VersionUnknown, match="no v9"):
        gather_evidence(db, client, model, 9)
    client.delete_registered_model_alias(model, "challenger")
    with pytest.raises(NothingToPromote, match="no challenger"):
        gather_evidence(db, client, model)
