"""The page about mined features: behind the login, true to definitions, coverage and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.db.mined_reports import KeptFeatureReport, record_feature_report
from ml.features.mined_definitions import MINED_FEATURES


def told(name: str, verdict: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "value": 0.0012, "low": 0.0004, "high": 0.002, "p_value": 0.001, "verdict": verdict,
            "present": 0.9, "used": True, **changes}  # fmt: skip


def report(target: str, day: date, *features: dict[str, Any]) -> KeptFeatureReport:
    return KeptFeatureReport(
        report_date=day,
        target=target,
        summary=f"What <b>{target}</b> came to on {day}.",
        numbers={
            "judged_by": ["2025-03-01", "2025-03-20"],
            "ads": 1234,
            "rows": 5678,
            "gain": told("all", "not proved"),
            "groups": [told("fatigue", "earns its place"), told("device", "not proved")],
            "features": list(features),
        },
    )


def test_nobody_reads_it_without_logging_in(airflow_app: Any) -> None:
    assert airflow_app.get("/nightshift/features").status_code == 401


def test_an_empty_house_shows_what_every_feature_means_and_that_nothing_was_judged(visitor: Any) -> None:
    page = visitor.get("/nightshift/features")
    assert page.status_code == 200
    assert "Nothing is mined yet" in page.text
    assert "No verdict yet" in page.text
    for feature in MINED_FEATURES:
        assert f"<b>{feature.name}</b>" in page.text
    assert page.text.count("not judged") == 2 * len(MINED_FEATURES)


def test_coverage_and_the_newest_verdicts_are_shown(
    db: Engine, visitor: Any, reconfigured: Callable[[Any], None]
) -> None:
    reconfigured(lambda values: values["ctr"].update(mined_features=["frequency"]))
    with db.begin() as connection:
        for statement in (
            "INSERT INTO ads.account (account_id, name, source) VALUES ('act_1', 'One', 'sandbox')",
            "INSERT INTO ads.campaign (account_id, campaign_id, name) VALUES ('act_1', 'c', 'C')",
            "INSERT INTO ads.ad (account_id, ad_id, campaign_id, name) VALUES ('act_1', 'a', 'c', 'A')",
            "INSERT INTO ads.mined_feature (account_id, ad_id, metric_date, frequency, hook_rate) VALUES "
            "('act_1', 'a', '2025-03-20', 1.5, NULL), ('act_1', 'a', '2025-03-19', 1.4, 0.5)",
        ):
            connection.execute(text(statement))
    record_feature_report(db, report("ctr", date(2025, 3, 14), told("frequency", "harmful")))
    newest = report(
        "ctr",
        date(2025, 3, 21),
        told("frequency", "earns its place"),
        told("night_share", "not proved", used=False),
    )
    record_feature_report(db, newest)
    page = visitor.get("/nightshift/features").text
    assert "Mined up to 2025-03-20" in page
    assert "What &lt;b&gt;ctr&lt;/b&gt; came to on 2025-03-21." in page
    assert "2025-03-14" not in page
    assert "1,234 ads, 5,678 ad-days from 2025-03-01 to 2025-03-20" in page
    assert "harmful" not in page
    assert "+1.200 (+0.400 to +2.000)" in page
    assert "no tree asks for it" in page
    assert "in the CTR model" in page
    row = page[page.index("<b>hook_rate</b>") :]
    assert row[: row.index("</tr>")].count("50 %") == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_report_of_the_same_day_replaces_the_first(db: Engine, visitor: Any, again: bool) -> None:
    record_feature_report(db, report("ctr", date(2025, 3, 21), told("frequency", "not proved")))
    if again:
        record_feature_report(db, report("ctr", date(2025, 3, 21), told("frequency", "harmful")))
    assert ("harmful" in visitor.get("/nightshift/features").text) is again
