"""Plans of trainings, and the words a run reports with."""

from datetime import date

from nightshift.train_model import plan_trainings, training_report

DAY = date(2026, 3, 31)


def plans(wanted=(), **changes):
    given = {"day": DAY, "scope": "all", "reason": "", "trigger": "manual", "max_days": 90, **changes}
    return plan_trainings(wanted=list(wanted), **given)


def want(scope="all", day="2026-03-30", since="2026-03-03", reason="high drift"):
    return {"scope": scope, "day": day, "reason": reason, "window": {"since": since, "until": day}}


def test_by_hand_or_by_the_clock_the_longest_window_is_taken():
    assert plans(scope="kag", reason="why not") == [
        {
            "scope": "kag",
            "day": "2026-03-31",
            "since": "2026-01-01",
            "recent_since": None,
            "trigger": "manual",
            "reason": "why not",
            "mode": "full",
            "severity": None,
            "incident": None,
        }
    ]


def test_a_drift_report_names_mode_recent_days_severity_and_incident():
    wanted = {**want(), "mode": "incremental", "severity": "medium", "incident": "ctr:all:2026-03-29"}
    assert plans([wanted]) == [
        {
            "scope": "all",
            "day": "2026-03-30",
            "since": "2025-12-31",
            "recent_since": "2026-03-03",
            "trigger": "drift",
            "reason": "high drift",
            "mode": "incremental",
            "severity": "medium",
            "incident": "ctr:all:2026-03-29",
        }
    ]


def test_a_wish_that_names_no_mode_is_for_an_update_and_the_whole_window_is_read():
    plan = plans([want(since=None)])[0]
    assert (plan["mode"], plan["since"], plan["recent_since"]) == ("update", "2025-12-31", None)


def test_several_wishes_make_one_plan_a_scope_with_the_newest():
    found = plans([want(day="2026-03-28"), want("kag", since=None), want(day="2026-03-30")])
    assert [(plan["scope"], plan["day"]) for plan in found] == [("all", "2026-03-30"), ("kag", "2026-03-30")]


def trained(**changes):
    return {
        "scope": "all", "model_name": "ctr", "model_version": 1, "alias": "champion", "rows": 1234,
        "mae_pp": 0.1302, "normalized_entropy": 0.983, "beats_constant": True, "trained": True, "run_id": "r",
        "mode": "full", "gates": "passed", "outcome": "", "update": None, "severity": None, "incident": None,
        **changes,
    }  # fmt: skip


def test_a_report_says_what_was_trained_and_how_good_it_is():
    report = training_report([trained()])
    assert report["summary"] == (
        "Trained ctr v1 (champion) on 1,234 rows: click-rate error 0.1302 points, normalised entropy 0.9830, "
        "better than the average."
    )
    assert (report["model_version"], report["alias"], report["trained"]) == (1, "champion", True)


def test_a_report_is_honest_about_a_useless_model_and_about_nothing_new():
    assert "NOT reliably better" in training_report([trained(beats_constant=False)])["summary"]
    assert "nothing changed" in training_report([trained(trained=False)])["summary"]
    assert training_report([trained(), trained(scope="kag", rows=6)])["rows"] == 1240


def test_a_report_tells_before_and_after_of_an_update_and_what_fails_its_gates():
    update = {"outcome": "continue beats v1 on 300 rows; normalised entropy 0.9700 before, 0.9400 after"}
    told = training_report([trained(model_version=2, alias="challenger", mode="update", update=update)])
    assert "Update: continue beats v1 on 300 rows; normalised entropy 0.9700 before" in told["summary"]
    failing = trained(alias="", gates="calibration error 0.7 points is above 0.5")
    assert "It fails its gates: calibration error" in training_report([failing])["summary"]


def test_a_report_says_why_nothing_was_made():
    kept = trained(trained=False, run_id="", mode="update", outcome="no update helps, v1 stays")
    assert training_report([kept])["summary"] == (
        "Mode update made no version of ctr: no update helps, v1 stays."
    )
