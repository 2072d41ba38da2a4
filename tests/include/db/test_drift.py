"""The days of drift as the page and the incidents read them, from a real database."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Engine, text

from include.db.drift import (
    DaySeverity,
    drift_report,
    newest_report_day,
    record_retrain_request,
    report_history,
    retrain_requests,
    severities,
    told_incidents,
)
from include.db.ml import DriftReport, record_drift_report
from ml.drift.incidents import incident
from tests.ml.drift.reports import numbers

LAST = date(2026, 3, 8)


def a_report(day: date, severity: str = "none", **changes: object) -> DriftReport:
    told = {
        "model_name": "ctr",
        "scope": "all",
        "model_version": 3,
        "reference": "then",
        "current": "now",
        "decision": "no_action",
        "summary": "s",
        "numbers": numbers(observed_severity="medium", reason="Because."),
        "html_uri": None,
        **changes,
    }
    return DriftReport(report_date=day, severity=severity, **told)  # type: ignore[arg-type]


def keep(db: Engine, letters: str, **changes: object) -> None:
    """A severity a day up to LAST: n for none, h for high; a blank is a day without a report."""
    for back, letter in enumerate(reversed(letters)):
        if letter != " ":
            severity = {"n": "none", "h": "high"}[letter]
            record_drift_report(db, a_report(LAST - timedelta(days=back), severity, **changes))


def test_a_history_has_the_days_of_one_model_and_scope_oldest_first(db: Engine) -> None:
    keep(db, "n hn")
    keep(db, "h", scope="act_1")
    keep(db, "h", model_name="another")
    days = report_history(db, "ctr", "all", until=LAST)
    assert [(each.day.day, each.severity) for each in days] == [(5, "none"), (7, "high"), (8, "none")]
    assert days[-1] == DaySeverity(LAST, "none", "no_action")
    assert report_history(db, "nobody", "all", until=LAST) == []


def test_a_history_can_end_earlier(db: Engine) -> None:
    keep(db, "nnnnnn")
    assert len(report_history(db, "ctr", "all", until=LAST - timedelta(days=1))) == 5
    assert newest_report_day(db, "ctr", "all") == LAST
    assert newest_report_day(db, "nobody", "all") is None


def test_running_an_old_day_again_changes_that_day_alone(db: Engine) -> None:
    keep(db, "nhnnnh")
    assert incident(report_history(db, "ctr", "all", until=LAST), 2).opened_on == LAST
    record_drift_report(db, a_report(LAST - timedelta(days=4), "none"))
    found = incident(report_history(db, "ctr", "all", until=LAST), 2)
    assert found.opened_on == LAST
    assert incident(report_history(db, "ctr", "all", until=LAST - timedelta(days=1)), 2) is None


def test_the_overview_has_every_model_since_a_day(db: Engine) -> None:
    keep(db, "nnh")
    keep(db, "h", scope="act_1")
    found = severities(db, LAST - timedelta(days=1))
    assert {key: [each.severity for each in days] for key, days in found.items()} == {
        ("ctr", "all"): ["none", "high"],
        ("ctr", "act_1"): ["high"],
    }


def test_one_report_is_found_with_its_numbers(db: Engine) -> None:
    kept = a_report(LAST, "high")
    record_drift_report(db, kept)
    assert drift_report(db, "ctr", "all", LAST) == kept
    assert drift_report(db, "ctr", "all", LAST - timedelta(days=1)) is None


def test_incidents_that_slack_took_are_found_by_their_keys(db: Engine) -> None:
    with db.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO alerts.slack_message (message_key, channel, kind, text, state, slack_ts, sent_at)
            VALUES ('drift:ctr:all:2026-03-05', '#a', 'drift', 't', 'sent', '1.2', '2026-03-05 05:00+00'),
                   ('drift:ctr:all:2026-03-05:recovery', '#a', 'drift', 't', 'sent', '1.3', now()),
                   ('drift:ctr:all:2026-03-05:update:2026-03-05', '#a', 'drift', 't', 'sent', '1.4', now()),
                   ('drift:ctr:all:2026-03-07', '#a', 'drift', 't', 'sent', '1.5', '2026-03-07 05:00+00'),
                   ('drift:ctr:all:2026-03-08', '#a', 'drift', 't', 'intent', NULL, NULL),
                   ('drift:ctr:act_1:2026-03-08', '#a', 'drift', 't', 'sent', '1.6', now())""")
        )
    first, second = told_incidents(db, "ctr", "all")
    assert (first.opened_on, first.recovered, first.told_at.hour) == (date(2026, 3, 5), True, 5)
    assert (second.message_key, second.recovered) == ("drift:ctr:all:2026-03-07", False)
    assert told_incidents(db, "nobody", "all") == []


def test_a_request_for_a_retrain_is_kept_once_a_day(db: Engine) -> None:
    for mode in ("update", "incremental"):
        record_retrain_request(db, "ctr", "all", LAST, mode)
    record_retrain_request(db, "ctr", "all", LAST - timedelta(days=5), "update")
    record_retrain_request(db, "ctr", "act_1", LAST, "update")
    assert retrain_requests(db, "ctr", "all", LAST - timedelta(days=9)) == [LAST - timedelta(days=5), LAST]
    assert retrain_requests(db, "ctr", "all", LAST) == [LAST]
