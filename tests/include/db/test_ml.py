"""Trainings and drift reports in a real database: once per key, replaced per day, one registrar at a time."""

import threading
from dataclasses import replace
from datetime import date

from include.db import make_engine
from include.db.ml import (
    DriftReport,
    TrainingRun,
    drift_reports,
    model_lock,
    record_drift_report,
    record_training_run,
    training_in_progress,
    training_runs,
)

RUN = TrainingRun(
    training_key="k" * 64,
    model_name="ctr",
    model_version=1,
    scope="all",
    mlflow_run_id="r1",
    trained_for=date(2026, 1, 31),
    trigger="manual",
    reason="",
    rows=100,
    window_start=date(2026, 1, 1),
    window_end=date(2026, 1, 31),
    metrics={"mae_pp": 0.1},
    alias="champion",
)
REPORT = DriftReport(
    model_name="ctr",
    scope="all",
    report_date=date(2026, 1, 31),
    model_version=1,
    reference="then",
    current="now",
    severity="none",
    decision="no_action",
    summary="No drift.",
    numbers={"columns": []},
    html_uri="runs:/r/drift_report.html",
)


def test_a_training_is_kept_once_and_follows_its_alias(db):
    record_training_run(db, RUN)
    record_training_run(db, RUN)
    assert training_runs(db) == [RUN]
    record_training_run(db, replace(RUN, alias=None))
    assert [run.alias for run in training_runs(db, scope="all")] == [None]
    assert training_runs(db, scope="another") == []


def test_a_version_number_of_a_registry_that_is_gone_is_taken_over(db):
    record_training_run(db, RUN)
    record_training_run(db, replace(RUN, training_key="n" * 64, mlflow_run_id="r2"))
    assert [(run.training_key[0], run.model_version) for run in training_runs(db)] == [("n", 1)]


def test_a_day_assessed_again_replaces_its_verdict(db):
    record_drift_report(db, REPORT)
    record_drift_report(db, replace(REPORT, severity="high", decision="update"))
    assert [(r.severity, r.decision) for r in drift_reports(db)] == [("high", "update")]


def test_a_report_without_a_champion_has_no_version(db):
    nothing = replace(REPORT, model_version=None, severity="cannot_tell", html_uri=None)
    record_drift_report(db, nothing)
    assert drift_reports(db) == [nothing]


def test_reports_are_found_by_day_and_scope_newest_first(db):
    days = [date(2026, 1, day) for day in (1, 8, 15)]
    for day in days:
        record_drift_report(db, replace(REPORT, report_date=day))
    found = drift_reports(db, since=days[1], until=days[2])
    assert [report.report_date for report in found] == [days[2], days[1]]
    assert drift_reports(db, scope="another") == []


def test_the_second_registrar_of_a_model_waits_and_another_models_does_not(db):
    order = []
    entered = threading.Event()

    def second():
        entered.set()
        with model_lock(db, "ctr"):
            order.append("second")

    with model_lock(db, "ctr"), model_lock(db, "ctr_other"):
        waiting = threading.Thread(target=second)
        waiting.start()
        entered.wait(5)
        waiting.join(0.3)
        order.append("first")
    waiting.join(5)
    assert order == ["first", "second"]


def test_a_training_is_seen_from_another_session_while_it_runs_and_not_after_it(db):
    assert not training_in_progress(db, "ctr")
    # Numbers of names are of either sign: both halves of the key must be found.
    for name in ("ctr", "ctr_other", "roas", "hook_rate", "ctr_act_001"):
        with model_lock(db, name):
            assert training_in_progress(db, name)
            assert not training_in_progress(db, "another")
        assert not training_in_progress(db, name)


def test_a_training_in_another_database_is_not_this_ones(db, postgres_url):
    elsewhere = make_engine(postgres_url)
    with model_lock(elsewhere, "ctr"):
        assert training_in_progress(elsewhere, "ctr")
        assert not training_in_progress(db, "ctr")
    elsewhere.dispose()
