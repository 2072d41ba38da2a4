"""Numbers of drift reports as `ml.drift_report` keeps them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any


def a_column(name: str, **changes: Any) -> dict[str, Any]:
    """A category that moved."""
    return {
        "column": name,
        "role": "input",
        "kind": "category",
        "importance": 0.31,
        "method": "Jensen-Shannon distance",
        "score": 0.28,
        "psi": 0.41,
        "expected_psi": 0.02,
        "p_value": 1e-9,
        "drifted": True,
        "missing_before": 0.0,
        "missing_now": 0.125,
        "note": "",
        "bins": {
            "labels": ["question", "story", "offer"],
            "reference": [0.5, 0.3, 0.2],
            "current": [0.2, 0.3, 0.5],
            "error": [-0.05, None, 0.38],
        },
        **changes,
    }


def measured(**changes: Any) -> dict[str, Any]:
    """Performance that was measured, and is bad."""
    return {
        "state": "measured",
        "metric": "normalized entropy",
        "rows": 4210,
        "reference": 0.88,
        "current": 0.92,
        "low": 0.91,
        "high": 0.93,
        "observed_over_predicted": 1.23,
        "ratio_low": 1.14,
        "ratio_high": 1.32,
        "cost": 0.29,
        "cost_low": 0.21,
        "cost_high": 0.37,
        "worst_column": "hook_type",
        "estimated": 0.885,
        "note": "",
        "newest": None,
        **changes,
    }


def numbers(**changes: Any) -> dict[str, Any]:
    """A report of the newest form: high, with everything measured."""
    return {
        "form": 2,
        "severity": "high",
        "observed_severity": "high",
        "decision": "update",
        "reason": "High calls for a full update of ctr v3.",
        "kinds": {"features": "medium", "prediction": "high", "performance": "high", "quality": "low"},
        "reference": "2026-01-05 to 2026-03-01",
        "current": "2026-03-02 to 2026-03-08",
        "reference_rows": 48230,
        "current_rows": 6120,
        "new_labelled_rows": 4210,
        "share_drifted": 0.31,
        "importance_drifted": 0.44,
        "columns": [
            a_column("hook_type"),
            a_column("predicted_ctr", role="prediction", kind="number", importance=None, note="lower"),
            a_column("age", drifted=False, psi=0.02, importance=0.08),
        ],
        "performance": measured(),
        "quality": {"rows_per_day": [861.2, 874.3], "issues": ["frequency is missing in 9 % of the rows."]},
        "niches": [
            {
                "niche": "beauty",
                "severity": "high",
                "observed": "high",
                "rows": 912,
                "cost": 0.41,
                "observed_over_predicted": 1.44,
                "summary": "moved: hook_type",
            }
        ],
        "notes": ["7 rows are there twice and count once."],
        "summary": "High drift, and its errors by hook_type cost 29% of what it is worth.",
        **changes,
    }


# As reports were kept before they had a form.
OLD_NUMBERS: dict[str, Any] = {
    "reference": "28 days",
    "current": "7 days",
    "reference_rows": 900,
    "current_rows": 100,
    "severity": "high",
    "decision": "retrain",
    "share_drifted": 0.4,
    "drifted_columns": ["hook_type"],
    "columns": [{"column": "hook_type", "psi": 0.5, "excess": 0.4, "p_value": 0.001, "drifted": True}],
    "summary": "1 of 12 columns moved",
}
