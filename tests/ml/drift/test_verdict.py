"""A day's verdict from the kept reference: pieces, niches, weekdays, unseen rows, words."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from include.config import thresholds
from ml.drift.decision import Situation
from ml.drift.reference import Reference
from ml.drift.settings import Decision, Severity
from ml.drift.sums import DaySums
from ml.drift.telling import as_json, observed_by_niche
from ml.drift.verdict import Day, judge_day, no_verdict
from nightshift.drift_settings import broken_ladder, quality_settings
from tests.ml.drift.made_windows import COLUMNS, EFFECT, START, ad_days

AFTER = START + timedelta(days=28)
DAY = Day(
    day=AFTER + timedelta(days=6),
    current_days=7,
    newest_days=2,
    learnt_until=AFTER - timedelta(days=1),
    judged_loss=0.97,
    observed_before={},
    situation=Situation(AFTER + timedelta(days=6), "ctr v3", 0),
)


@pytest.fixture(scope="module")
def reference():
    window = ad_days(ads=160, days=28, seed=1)
    return Reference.of(window, (window,), COLUMNS, "log_loss", sample_rows=500)


@pytest.fixture(scope="module")
def rules(settings):
    limits = thresholds().drift.quality
    return settings, quality_settings(limits), broken_ladder(limits)


def week(**changes):
    return ad_days(**{"start": AFTER, "seed": 2, **changes})


def judged(reference, rules, *pieces, day=DAY, **changes):
    return judge_day(reference, DaySums.of(reference, pieces), day, *rules, label="now", **changes)


def test_a_quiet_week_is_told_as_one(reference, rules):
    found = judged(reference, rules, week())
    assert found.severity is found.observed is Severity.NONE
    assert found.decision is Decision.NO_ACTION
    assert found.unseen_rows == found.current_rows == 560
    assert found.issues == ()
    numbers = as_json(found)
    assert numbers["summary"].startswith("No drift that matters: now against 2026-03-02 to 2026-03-29.")
    assert {niche["severity"] for niche in numbers["niches"]} == {"none"}
    json.dumps(numbers, allow_nan=False)


def test_a_change_of_what_works_calls_for_an_update_and_says_what_it_costs(reference, rules):
    found = judged(reference, rules, week(effect={**EFFECT, "story": -0.5}))
    assert found.severity >= Severity.HIGH
    assert found.decision is Decision.UPDATE
    numbers = as_json(found)
    assert numbers["performance"]["worst_column"] == "hook"
    assert numbers["columns"][0]["column"] == "hook"
    assert "less than it expects" in numbers["summary"]
    assert re.search(r"has lost \d+% of what it is worth \(.*\), above all by hook\.", numbers["summary"])
    bins = numbers["columns"][0]["bins"]
    assert bins["error"][bins["labels"].index("story")] < -0.5
    assert "560 rows are newer" in numbers["reason"]


def test_pieces_are_judged_like_the_whole(reference, rules):
    whole = as_json(judged(reference, rules, week()))
    pieces = as_json(judged(reference, rules, *week().chunks(100)))
    assert pieces["columns"] == whole["columns"]
    assert pieces["performance"] == whole["performance"]
    assert pieces["niches"] == whole["niches"]


def test_a_kept_reference_says_the_same(reference, rules):
    again = Reference.load(reference.dump())
    assert as_json(judged(again, rules, week())) == as_json(judged(reference, rules, week()))
    assert len(again.sample) == 500
    assert Reference.load(b"something else") is None
    assert Reference.load(reference.dump()[:2000]) is None


def test_days_the_model_has_learnt_from_do_not_judge_it(reference, rules):
    changed = week(effect={**EFFECT, "story": -0.5})
    knows = replace(DAY, learnt_until=DAY.day)
    found = judged(reference, rules, changed, day=knows)
    assert found.unseen_rows == 0
    assert found.assessment.performance.note.startswith("the model has learnt from these days itself")
    assert found.decision in (Decision.NO_ACTION, Decision.ALERT)
    moved = week(hooks=(0.05, 0.15, 0.8), budget=400.0)
    assert judged(reference, rules, moved, day=knows).severity <= Severity.MEDIUM
    half = judged(reference, rules, changed, day=replace(DAY, learnt_until=DAY.day - timedelta(days=3)))
    assert half.unseen_rows == 240


def test_a_monday_is_compared_with_mondays(rules):
    window = ad_days(ads=160, days=28, seed=1)
    monday = (window.days.astype("int64") + 3) % 7 == 0
    # On Mondays budgets are ten times as large, every week.
    scaled = window.rows.assign(budget=window.rows["budget"].where(~monday, window.rows["budget"] * 10))
    weekly = replace(window, rows=scaled)
    reference = Reference.of(weekly, (weekly,), COLUMNS, "log_loss", sample_rows=100)
    now = week(ads=120, days=1)
    high = replace(now, rows=now.rows.assign(budget=now.rows["budget"] * 10))
    day = replace(DAY, day=AFTER, current_days=1)
    drifted = {
        name: {c.column.name for c in judged(reference, rules, each, day=day).assessment.columns if c.drifted}
        for name, each in (("like every Monday", high), ("unlike Mondays", now))
    }
    assert drifted == {"like every Monday": set(), "unlike Mondays": {"budget"}}


def test_one_niche_alone_makes_the_whole_medium(reference, rules):
    quiet, changed = week(), week(effect={**EFFECT, "story": -1.5, "promise": -1.0})
    beauty = quiet.niches == "beauty"
    mixed = [quiet.take(~beauty), changed.take(beauty)]
    found = judged(reference, rules, *mixed)
    by_niche = {niche.niche: niche.severity for niche in found.niches}
    assert by_niche["beauty"] >= Severity.HIGH
    assert by_niche["fitness"] <= Severity.LOW
    assert found.niches[0].niche == "beauty"


def test_two_days_must_agree_unless_it_is_certain(reference, rules):
    strict = replace(rules[0], evidence=replace(rules[0].evidence, certain=1e-300))
    changed = week(effect={**EFFECT, "story": -0.5})
    first = judged(reference, (strict, *rules[1:]), changed)
    assert first.observed >= Severity.HIGH
    assert first.severity is Severity.NONE
    assert "it counts if tomorrow agrees" in as_json(first)["summary"]
    before = observed_by_niche(json.loads(json.dumps(as_json(first))))
    second = judged(reference, (strict, *rules[1:]), changed, day=replace(DAY, observed_before=before))
    assert second.severity >= Severity.HIGH


def test_a_feed_that_broke_is_told_and_nobody_learns_from_it(reference, rules):
    broken = week()
    broken = replace(broken, rows=broken.rows.assign(budget=np.nan))
    found = judged(reference, rules, broken)
    assert found.assessment.kinds["quality"] is Severity.CRITICAL
    assert found.decision is Decision.ALERT
    assert "budget has no values at all any more" in as_json(found)["summary"]


def test_days_without_rows_are_missed(reference, rules):
    late = week()
    found = judged(reference, rules, late.take(late.days < np.datetime64(AFTER, "D") + 1))
    assert any(issue.kind == "volume" for issue in found.issues)
    assert found.rows_per_day[1] == pytest.approx(80 / 7)
    stopped = judged(reference, rules, late.take(late.days < np.datetime64(DAY.day, "D")))
    assert stopped.assessment.kinds["quality"] is Severity.CRITICAL
    assert stopped.decision is Decision.ALERT
    fewer = judged(reference, rules, late.take(np.arange(len(late)) % 3 == 0))
    assert fewer.assessment.kinds["quality"] is Severity.LOW


def test_an_empty_window_cannot_be_told_and_is_a_feed_that_stopped(reference, rules):
    for pieces in ((), (week().take(np.zeros(560, dtype=bool)),)):
        found = judged(reference, rules, *pieces)
        # Nothing can be compared; that nothing came at all is what is told.
        assert set(found.assessment.kinds.values()) == {Severity.CANNOT_TELL, Severity.CRITICAL}
        assert found.decision is Decision.ALERT
        numbers = as_json(found)
        assert "the current window has 0 rows" in numbers["summary"]
        json.dumps(numbers, allow_nan=False)


def test_without_dates_nobody_knows_what_the_model_has_learnt(rules):
    then, now = replace(ad_days(ads=160, days=5, seed=1), days=None), replace(ad_days(seed=2), days=None)
    reference = Reference.of(then, (then,), COLUMNS, "log_loss", sample_rows=100)
    found = judged(reference, rules, now)
    assert "no dates" in found.assessment.performance.note
    assert found.rows_per_day is None


def test_a_blank_niche_is_none(rules):
    window, now = ad_days(ads=160, days=28, seed=1), week()
    blank = replace(window, niches=np.where(window.niches == "beauty", "", "fitness").astype(object))
    reference = Reference.of(blank, (blank,), COLUMNS, "log_loss", sample_rows=10)
    assert reference.whole.rows == len(window)
    assert set(reference.niches) == {"fitness"}
    found = judged(reference, rules, replace(now, niches=np.full(len(now), "", dtype=object)))
    assert (found.current_rows, found.niches) == (560, ())


def test_a_version_that_does_not_say_what_it_learnt_is_named_as_the_reason(reference, rules):
    found = judged(reference, rules, week(), day=replace(DAY, learnt_until=None))
    assert "tag window_end" in found.assessment.performance.note


ODD = {
    "dates": lambda n: np.full(n, np.datetime64("2026-03-01")),
    "lists": lambda n: [["a", 1]] * n,
    "documents": lambda n: [{"a": 1}] * n,
    "decimals": lambda n: [Decimal("1.5")] * n,
    "mixed": lambda n: [1, "two", None, 3.5] * (n // 4),
    "huge": lambda n: np.full(n, 1e308),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("side", ["then", "now", "both"])
def test_columns_of_any_kind_are_compared_or_left_out_and_never_crash(rules, kind, side):
    then, now = ad_days(ads=160, days=28, seed=1), week()

    def odd(window):
        return replace(window, rows=window.rows.assign(budget=pd.Series(ODD[kind](len(window)))))

    then, now = odd(then) if side != "now" else then, odd(now) if side != "then" else now
    reference = Reference.of(then, (then,), COLUMNS, "log_loss", sample_rows=10)
    json.dumps(as_json(judged(reference, rules, now)), allow_nan=False)


def test_rows_without_a_cluster_are_one_of_their_own(reference, rules):
    now = week()
    some = replace(now, clusters=np.where(np.arange(len(now)) < 100, None, now.clusters))
    assert judged(reference, rules, some).current_rows == 560
    nobody = replace(now, clusters=np.full(len(now), None, dtype=object))
    found = judged(reference, rules, nobody)
    assert "the current window has 1 ads" in found.assessment.reason


def test_no_verdict_says_why(settings):
    numbers = as_json(no_verdict("nobody made a model yet", DAY.situation, settings))
    assert numbers["severity"] == "cannot_tell"
    assert "nobody made a model yet" in numbers["summary"]
    assert observed_by_niche(numbers) == {"": Severity.CANNOT_TELL}
    assert observed_by_niche({"severity": "high"}) == {}
    assert date.fromisoformat("2026-03-02") == START
