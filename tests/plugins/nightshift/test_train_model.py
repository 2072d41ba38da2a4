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
            "trigger": "manual",
            "reason": "why not",
            "mode": "full",
        }
    ]


def test_a_drift_report_names_scope_day_and_window():
    assert plans([want()]) == [
        {
            "scope": "all",
            "day": "2026-03-30",
            "since": "2026-03-03",
            "trigger": "drift",
            "reason": "high drift",
            "mode": "full",
        }
    ]


def test_without_a_window_of_its_own_a_wanted_model_learns_from_everything():
    assert plans([want(since=None)])[0]["since"] == "2025-12-31"


def test_several_wishes_make_one_plan_a_scope_with_the_newest():
    found = plans([want(day="2026-03-28"), want("kag", since=None), want(day="2026-03-30")])
    assert [(plan["scope"], plan["day"]) for plan in found] == [("all", "2026-03-30"), ("kag", "2026-03-30")]


def trained(**changes):
    return {
        "scope": "all", "model_name": "ctr", "model_version": 1, "alias": "champion", "rows": 1234,
        "mae_pp": 0.1302, "normalized_entropy": 0.983, "beats_constant": True, "trained": True, "run_id": "r",
        "mode": "full", "gates": "passed", "outcome": "",
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


def test_a_report_says_what_was_not_accepted_and_what_fails_its_gates():
    refused = trained(trained=False, outcome="not accepted: on new rows it saves 0.00%")
    assert training_report([refused])["summary"] == (
        "Going on from ctr v1 (champion) made no version, not accepted: on new rows it saves 0.00%."
    )
    failing = trained(alias="", gates="calibration error 0.7 points is above 0.5")
    assert "It fails its gates: calibration error" in training_report([failing])["summary"]
