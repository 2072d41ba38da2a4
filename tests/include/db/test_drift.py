"""The days of drift as the page and the incidents read them, from a real database."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import Engine, text

from include.db.drift import (
    DayVerdict,
    WatchedModel,
    drift_report,
    report_history,
    severities,
    told_at,
    watched_models,
)
from include.db.ml import DriftReport, record_drift_report
from ml.drift.incidents import incident
from tests.ml.drift.reports import OLD_NUMBERS, numbers

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
    assert days[-1] == DayVerdict(LAST, "none", "medium", "no_action", 3, "Because.")
    assert report_history(db, "nobody", "all", until=LAST) == []


def test_a_history_can_be_of_so_many_days_or_end_earlier(db: Engine) -> None:
    keep(db, "nnnnnn")
    assert len(report_history(db, "ctr", "all", until=LAST, days=3)) == 3
    earlier = report_history(db, "ctr", "all", until=LAST - timedelta(days=1), days=1)
    assert [each.day for each in earlier] == [LAST - timedelta(days=1)]


def test_rows_from_before_there_was_a_form_are_read_too(db: Engine) -> None:
    record_drift_report(db, a_report(LAST, "high", numbers=OLD_NUMBERS, model_version=None))
    (day,) = report_history(db, "ctr", "all", until=LAST)
    assert (day.observed_severity, day.reason, day.model_version) == ("high", "", None)


def test_running_an_old_day_again_changes_that_day_alone(db: Engine) -> None:
    keep(db, "nhnnnh")
    assert incident(report_history(db, "ctr", "all", until=LAST), 2).opened_on == LAST
    record_drift_report(db, a_report(LAST - timedelta(days=4), "none"))
    found = incident(report_history(db, "ctr", "all", until=LAST), 2)
    assert found.opened_on == LAST
    assert incident(report_history(db, "ctr", "all", until=LAST - timedelta(days=1)), 2) is None


def test_watched_models_are_those_with_a_report(db: Engine) -> None:
    assert watched_models(db) == []
    keep(db, "nn")
    keep(db, "n ", scope="act_1")
    assert watched_models(db) == [
        WatchedModel("ctr", "all", LAST),
        WatchedModel("ctr", "act_1", LAST - timedelta(days=1)),
    ]


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


def test_a_message_was_told_once_slack_took_it(db: Engine) -> None:
    with db.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO alerts.slack_message (message_key, channel, kind, text, state, slack_ts, sent_at)
            VALUES ('sent', '#a', 'drift', 't', 'sent', '1.2', '2026-03-08 05:00+00'),
                   ('meant', '#a', 'drift', 't', 'intent', NULL, NULL)""")
        )
    assert told_at(db, "sent").hour == 5
    assert told_at(db, "meant") is None
    assert told_at(db, "unknown") is None
