"""Messages about drift: what an incident, its update and its end say, within what Slack takes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine

from include.alerts import SlackChannel, SlackMessage, post_once
from include.alerts.drift import (
    drift_key,
    drift_message,
    drift_picture,
    recovery_key,
    recovery_message,
    refused_message,
    told_of,
    update_key,
    update_message,
)
from include.db.drift import ToldIncident
from include.db.ml import DriftReport
from include.db.model_updates import ModelUpdate
from ml.drift.incidents import Incident
from ml.drift.settings import Severity
from tests.ml.drift.reports import OLD_NUMBERS, a_column, measured, numbers

if TYPE_CHECKING:
    from include.sandbox.server import SandboxServer

DAY = date(2026, 3, 8)
PAGE, RUN = "http://127.0.0.1:8080/nightshift/drift/ctr/all/2026-03-08", "http://127.0.0.1:8080/dags/d/runs/r"
KEY = drift_key("ctr", "all", DAY)


def a_report(**changes: Any) -> DriftReport:
    told = numbers(**changes.pop("numbers", {}))
    return replace(
        DriftReport(
            model_name="ctr",
            scope="all",
            report_date=DAY,
            model_version=3,
            reference="2026-01-05 to 2026-03-01",
            current="2026-03-02 to 2026-03-08",
            severity=told["severity"],
            decision=told["decision"],
            summary=told["summary"],
            numbers=told,
            html_uri=None,
        ),
        **changes,
    )


def a_candidate(strategy: str, saved: float | None, **changes: Any) -> dict[str, Any]:
    told = {"strategy": strategy, "saved": saved, "low": None, "high": None, "old": None}
    return {**told, "passed": False, "reason": "", **changes}


UPDATE = ModelUpdate(
    model_name="ctr",
    day=DAY,
    parent_version=3,
    mode="update",
    reason="high drift",
    severity="high",
    incident=KEY,
    candidates=[
        a_candidate("recalibrate", 0.012, low=0.004, high=0.02, passed=True),
        a_candidate("continue", -0.012, low=-0.04, high=0.002, reason="not proved better"),
        a_candidate("retrain_full", 0.031, low=0.014, high=0.051, passed=True),
        a_candidate("retrain_recent", None, reason="not tried: its rows are those of the full retrain"),
    ],
    winner="retrain_full",
    version=4,
    ne_before=0.9234,
    ne_after=0.8931,
    judged_rows=2100,
    judged_since=date(2026, 3, 5),
    judged_until=DAY,
    outcome="retrain_full beats v3",
)
OVER = Incident(
    opened_on=date(2026, 3, 1),
    worst=Severity.CRITICAL,
    worst_on=date(2026, 3, 2),
    closed_on=date(2026, 3, 9),
    calm_since=date(2026, 3, 8),
    days=tuple(date(2026, 3, n) for n in range(1, 10)),
)


def shown(message: SlackMessage) -> str:
    return json.dumps(message.blocks, ensure_ascii=False)


def drift(report: DriftReport) -> str:
    return shown(drift_message(report, opened_on=DAY, page_url=PAGE, run_url=RUN))


def test_an_incident_says_what_moved_what_it_costs_what_is_done_and_whether_it_can_wait() -> None:
    message = drift_message(a_report(), opened_on=DAY, page_url=PAGE, run_url=RUN)
    assert message.text.startswith(
        "High drift: ctr, all accounts. The model has lost 29% of what it is worth"
    )
    for part in (
        "🟠 High drift: ctr, all accounts",
        "The model has lost 29% of what it is worth (21% to 37%), above all by hook_type.",
        "`hook_type`: stability index 0.41, 0.02 would be chance",
        "`predicted_ctr`: what the model answers; lower; stability index",
        "frequency is missing in 9 % of the rows.",
        "beauty (high)",
        "High calls for a full update of ctr v3. A new model was asked for.",
        "When a challenger waits, look at its evidence and promote it.",
        "Until working hours",
        "*Model*\\nctr v3",
        "*Since*\\n2026-03-08",
        PAGE,
        RUN,
    ):
        assert part in shown(message), part
    assert "`age`" not in shown(message), "it did not move"


def test_a_critical_one_cannot_wait() -> None:
    told = drift(a_report(numbers={"severity": "critical"}))
    assert "🔴 Critical drift" in told
    assert "No, look at it today" in told
    assert "they are wrong by much" in told
    unknown = a_report(
        numbers={"severity": "critical", "performance": {"state": "unknown", "note": "no clicks"}}
    )
    assert "they may be wrong by much" in drift(unknown)
    assert "What it costs is not known yet: no clicks." in drift(unknown)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"decision": "incremental"}, "When a challenger waits"),
        ({"decision": "alert"}, "If a campaign or a new audience explains the change, leave it"),
        (
            {"decision": "alert", "kinds": {"features": "low", "performance": "none", "quality": "high"}},
            "Repair the source of the data",
        ),
        ({"decision": "alert", "kinds": {"performance": "high", "quality": "high"}}, "Repair the source"),
        ({"decision": "alert", "kinds": {"performance": "high", "quality": "medium"}}, "leave it"),
    ],
)
def test_what_a_person_can_do_depends_on_what_is_wrong(changes: dict[str, Any], advice: str) -> None:
    assert advice in drift(a_report(numbers=changes))


def test_a_report_of_an_older_form_is_told_by_its_summary() -> None:
    old = a_report(numbers={}, summary="1 of 12 columns moved", decision="update")
    message = drift_message(replace(old, numbers=OLD_NUMBERS), opened_on=DAY, page_url=PAGE)
    assert "1 of 12 columns moved" in shown(message)
    assert "A new model was asked for" in shown(message)
    assert "Open the run" not in shown(message)


def test_names_that_others_chose_stay_words() -> None:
    told = drift(
        a_report(
            numbers={
                "columns": [a_column("<!channel> `x` <http://evil|click>", note="<b>&")],
                "reason": "<@U1>",
                "quality": {"issues": ["<!here>"]},
            }
        )
    )
    for harmful in ("<!channel>", "<http", "<@U1>", "<!here>", "<b>"):
        assert harmful not in told
    assert "&lt;!channel&gt;" in told


def test_two_hundred_long_columns_issues_and_niches_stay_within_what_slack_takes(
    db: Engine, sandbox: SandboxServer
) -> None:
    niche = {"niche": "n" * 900, "severity": "high"}
    many = a_report(
        numbers={
            "columns": [a_column(f"{n} " + "&" * 400, note="<" * 4000) for n in range(200)],
            "quality": {"issues": ["i" * 5000] * 200},
            "niches": [niche] * 200,
            "reason": "r" * 9000,
            "performance": measured(worst_column="w" * 9000),
        }
    )
    message = drift_message(many, opened_on=DAY, page_url=PAGE, run_url=RUN)
    channel = SlackChannel("#nightshift-alerts", sandbox.api_key, sandbox.slack_url)
    assert post_once(db, channel, KEY, message, kind="drift").posted
    assert "and 195 more" in shown(message)
    assert "and 197 more" in shown(message)


def test_the_picture_is_the_reports_plot_and_says_in_words_what_it_shows() -> None:
    picture = drift_picture(a_report())
    assert picture is not None
    assert picture.content.startswith(b"\x89PNG")
    assert "hook_type moved, predicted_ctr moved, age did not move" in picture.alt_text
    assert drift_picture(a_report(numbers={"columns": []})) is None
    assert drift_picture(replace(a_report(), numbers=OLD_NUMBERS)) is None


def test_a_recovery_says_since_when_how_long_and_how_bad() -> None:
    report = replace(a_report(), model_version=4, report_date=date(2026, 3, 9))
    message = recovery_message(report, OVER, page_url=PAGE, run_url=RUN)
    assert message.text.startswith("Drift is over: ctr, all accounts.")
    assert (
        "Nothing that matters has drifted since 2026-03-08, for 2 days. The incident began on 2026-03-01, "
        "lasted 7 days, and was critical at worst, on 2026-03-02."
    ) in shown(message)
    assert "ctr v4" in shown(message)


def test_an_open_incident_has_no_recovery() -> None:
    with pytest.raises(ValueError, match="still open"):
        recovery_message(a_report(), replace(OVER, closed_on=None), page_url=PAGE)


def test_an_update_tells_each_candidate_the_winner_and_what_to_do_next() -> None:
    message = update_message(UPDATE, page_url=PAGE, run_url=RUN, promote_url="http://127.0.0.1:8080/dags/p")
    for part in (
        "🔵 ctr v4 waits as challenger",
        "*Learn anew from all rows* is best: normalized entropy 0.9234 before, 0.8931 after",
        "Shift its level: saves 1.20% of the error (0.40% to 2.00%), better, but not the best",
        "Go on learning from the new rows: adds 1.20% to the error (-0.20% to 4.00%), not surely better",
        "Learn anew from all rows: saves 3.10% of the error (1.40% to 5.10%), it wins",
        "Learn anew from the recent rows: not tried: its rows are those of the full retrain",
        "It goes live once it is promoted",
        "Promote it",
    ):
        assert part in shown(message), part


def test_an_update_that_did_not_help_says_who_stays() -> None:
    kept = replace(UPDATE, winner="keep", version=None, ne_after=UPDATE.ne_before)
    message = update_message(kept, page_url=PAGE, promote_url="http://127.0.0.1:8080/dags/p")
    assert "⚪ No update of ctr helps: v3 stays" in shown(message)
    assert "Promote it" not in shown(message)
    assert "is best" not in shown(message)


def test_an_update_with_odd_candidates_is_told_too() -> None:
    odd = [{}, {"strategy": "<new>", "saved": 0.1, "passed": False, "reason": "not proved"}] * 20
    message = update_message(replace(UPDATE, candidates=odd, ne_before=None), page_url=PAGE)
    assert "&lt;new&gt;: saves 10.00% of the error, not surely better" in shown(message)
    none_tried = replace(UPDATE, candidates=[], outcome="nothing <could> be tried")
    assert "nothing &lt;could&gt; be tried" in shown(update_message(none_tried, page_url=PAGE))


def test_a_version_that_fails_its_gates_is_not_called_a_challenger() -> None:
    told = shown(
        update_message(UPDATE, why_not="calibration error <2> points", page_url=PAGE, promote_url=PAGE)
    )
    assert "ctr v4 was made, but is no challenger: v3 stays" in told
    assert "calibration error &lt;2&gt; points" in told
    assert "Promote it" not in told
    assert "waits as challenger" not in told


def test_an_update_that_could_not_be_tried_says_why() -> None:
    message = refused_message("ctr", 3, "v3 has learnt these days already (up to <day>)", page_url=PAGE)
    assert "No update of ctr v3 could be tried" in shown(message)
    assert "up to &lt;day&gt;" in shown(message)


@pytest.mark.parametrize(("days_before", "same"), [(0, True), (7, True), (8, False), (-1, True), (-3, False)])
def test_slack_knows_an_incident_by_a_message_of_days_that_near(days_before: int, same: bool) -> None:
    now = Incident(DAY, Severity.HIGH, DAY, None, None, (DAY, DAY + timedelta(days=2)))
    told = ToldIncident("key", DAY - timedelta(days=days_before), datetime.now(UTC), recovered=False)
    assert (told_of(now, [told]) is told) is same


def test_keys_tell_incidents_apart_and_belong_together_within_one() -> None:
    incidents = [
        drift_key("ctr", "all", DAY),
        drift_key("ctr", "act_1", DAY),
        drift_key("ctr", "all", DAY + timedelta(days=1)),
        drift_key("x", "all", DAY),
    ]
    keys = {
        *incidents,
        *map(recovery_key, incidents),
        *(update_key(each, UPDATE) for each in incidents),
        update_key(KEY, replace(UPDATE, mode="incremental")),
        update_key(KEY, replace(UPDATE, day=DAY + timedelta(days=1))),
    }
    assert len(keys) == 14
    assert all(recovery_key(each).startswith(each) for each in incidents)
