"""Four kinds of drift and one severity: what moved counts for what it costs."""

from dataclasses import replace

import numpy as np
import pytest

from ml.drift.assessment import assess_drift, confirmed
from ml.drift.plan import DriftPlan
from ml.drift.profile import Profile
from ml.drift.settings import Ladder, Severity
from ml.drift.windows import WatchedColumn
from tests.ml.drift.made_windows import COLUMNS, EFFECT, ad_days


@pytest.fixture(scope="module")
def reference():
    return ad_days(ads=160, days=28, seed=1)


def assessed(reference, current, settings, columns=COLUMNS, **changes):
    plan = DriftPlan.learn(reference.rows, columns)
    before, now = (Profile.of(plan, "log_loss", (window,)) for window in (reference, current))
    return assess_drift(before, now, settings, **changes)


def without_outcome(window):
    return replace(window, observed=np.full(len(window), np.nan))


def test_another_week_of_the_same_is_no_drift(reference, settings):
    found = assessed(reference, ad_days(seed=2), settings)
    assert found.observed is Severity.NONE
    assert set(found.kinds.values()) == {Severity.NONE}
    assert found.share_drifted == 0


def test_what_moved_but_costs_nothing_is_low(reference, settings):
    moved = ad_days(seed=3, hooks=(0.05, 0.15, 0.8), budget=400.0)
    found = assessed(reference, moved, settings)
    assert {c.column.name for c in found.columns if c.drifted} >= {"hook", "budget"}
    assert found.kinds["features"] is Severity.LOW
    assert found.observed is Severity.LOW


def test_the_same_move_without_outcomes_counts_in_full(reference, settings):
    moved = ad_days(seed=3, hooks=(0.05, 0.15, 0.8), budget=400.0)
    found = assessed(reference, without_outcome(moved), settings)
    assert found.performance.state == "estimated"
    assert found.kinds["features"] is Severity.CRITICAL
    assert found.kinds["prediction"] >= Severity.MEDIUM
    # Two of three inputs moved; they are nine tenths of what the model looks at.
    assert found.share_drifted == pytest.approx(2 / 3)
    assert found.importance_drifted == pytest.approx(0.9)


def test_a_model_that_became_wrong_is_severe_though_no_input_moved(reference, settings):
    found = assessed(reference, ad_days(seed=4, effect={**EFFECT, "story": -0.5}), settings)
    assert found.kinds["features"] is Severity.NONE
    assert found.kinds["performance"] >= Severity.HIGH
    assert found.certain >= Severity.HIGH
    assert found.columns[0].column.name == "hook"


def test_a_sudden_change_shows_in_the_newest_days_first(reference, settings):
    quiet, changed = ad_days(seed=5), ad_days(seed=5, effect={**EFFECT, "story": -0.5})
    last = quiet.days == quiet.days.max()
    plan = DriftPlan.learn(reference.rows, COLUMNS)
    before, six, one = (
        Profile.of(plan, "log_loss", (window,))
        for window in (reference, quiet.take(~last), changed.take(last))
    )
    week = six.plus(one)
    diluted = assess_drift(before, week, settings)
    sharp = assess_drift(before, week, settings, newest=one)
    assert sharp.newest.worst.cost.value > 3 * diluted.performance.worst.cost.value
    assert sharp.kinds["performance"] > diluted.kinds["performance"]


def test_severe_needs_more_than_being_likely(reference, settings):
    few = ad_days(ads=8, days=2, seed=6, impressions=300, times=1.6)
    lenient = replace(settings, min_rows=10)
    found = assessed(reference, few, lenient)
    assert found.performance.worst.cost.value > settings.cost.high
    assert found.kinds["performance"] <= Severity.MEDIUM


@pytest.mark.parametrize(
    ("today", "yesterday", "counts"),
    [
        ("high", "high", "high"),
        ("high", "medium", "medium"),
        ("high", None, "none"),
        ("high", "cannot_tell", "none"),
        ("critical", "high", "high"),
        ("none", "critical", "none"),
    ],
)
def test_a_severity_counts_when_two_days_agree(reference, settings, today, yesterday, counts):
    told = assessed(reference, ad_days(seed=2), settings)
    told = replace(told, observed=Severity(today), certain=Severity.NONE)
    assert confirmed(told, Severity(yesterday) if yesterday else None) is Severity(counts)


def test_what_is_certain_counts_at_once(reference, settings):
    told = assessed(reference, ad_days(seed=4, effect={**EFFECT, "story": -0.5}), settings)
    assert confirmed(told, None) >= Severity.HIGH


def test_too_little_to_tell_is_said_with_its_reason(reference, settings):
    found = assessed(reference, ad_days(ads=3, days=2), settings)
    assert found.observed is Severity.CANNOT_TELL
    assert found.reason.startswith("the current window has 6 rows, at least 50 are needed")
    assert confirmed(found, Severity.HIGH) is Severity.CANNOT_TELL
    empty = reference.take(np.zeros(len(reference), dtype=bool))
    assert "0 rows" in assessed(empty, ad_days(), settings).reason
    same_ad = replace(ad_days(), clusters=np.full(560, "one", dtype=object))
    assert "1 ads" in assessed(reference, same_ad, settings).reason


def test_columns_that_say_nothing_are_left_out_of_the_shares(reference, settings):
    columns = (*COLUMNS, *(WatchedColumn(name) for name in ("constant", "empty", "nowhere")))

    def with_odd_ones(window):
        return replace(window, rows=window.rows.assign(constant=1.0, empty=np.nan))

    found = assessed(with_odd_ones(reference), with_odd_ones(ad_days(seed=2)), settings, columns)
    notes = {c.column.name: c.note for c in found.columns}
    assert notes["constant"] == "the same throughout"
    assert notes["empty"] == notes["nowhere"] == "missing in both windows"
    assert found.observed is Severity.NONE
    only = tuple(WatchedColumn(name) for name in ("constant", "empty"))
    nothing = assessed(with_odd_ones(reference), with_odd_ones(ad_days(seed=2)), settings, only)
    assert "missing or the same throughout" in nothing.reason


@pytest.mark.parametrize(("lacking", "note"), [("now", "vanished"), ("then", "new")])
def test_columns_that_vanish_or_appear_are_drift_and_said_so(reference, settings, lacking, note):
    now = ad_days(seed=2)
    without = {"now": (reference, replace(now, rows=now.rows.drop(columns="hook")))}
    without["then"] = replace(reference, rows=reference.rows.drop(columns="hook")), now
    found = assessed(*without[lacking], settings)
    hook = next(c for c in found.columns if c.column.name == "hook")
    assert hook.note == note
    assert hook.drifted


def test_infinities_and_another_type_are_handled(reference, settings):
    now = ad_days(seed=2)
    budget = now.rows["budget"].where(np.arange(len(now)) > 200, np.inf)
    odd = replace(now, rows=now.rows.assign(budget=budget, length="long"))
    found = assessed(reference, odd, settings)
    assert {c.column.name for c in found.columns if c.drifted} >= {"budget", "length"}


def test_a_reference_without_predictions_falls_back_on_the_outcome(reference, settings):
    blind = [replace(window, predicted=None) for window in (reference, ad_days(seed=7, times=2.0))]
    columns = tuple(column for column in COLUMNS if column.role != "prediction")
    found = assessed(*blind, settings, columns)
    assert found.performance.state == "unknown"
    assert found.kinds["performance"] >= Severity.HIGH


def test_broken_data_are_told_even_where_nothing_can_be_compared(reference, settings):
    found = assessed(reference, ad_days(ads=3, days=2), settings, quality=Severity.CRITICAL)
    assert found.observed is found.certain is Severity.CRITICAL


def test_embeddings_drift_by_their_leading_components(reference, settings):
    random = np.random.default_rng(0)
    columns = (*COLUMNS, WatchedColumn("look", importance=0.5))

    def looking(window, centre, seed):
        random = np.random.default_rng(seed)
        names, ads = np.unique(window.clusters, return_inverse=True)
        vectors = random.normal(size=(len(names), 16)) * scale + centre
        return replace(window, rows=window.rows.assign(look=list(vectors[ads])))

    scale = np.linspace(2, 0.1, 16)
    away = random.normal(size=16) * scale
    now = ad_days(ads=160, seed=8)
    then = looking(reference, 0.0, 1)
    quiet = assessed(then, looking(now, 0.0, 2), settings, columns)
    moved = assessed(then, looking(now, away, 3), settings, columns)
    told = [next(c for c in each.columns if c.column.name == "look") for each in (quiet, moved)]
    assert [each.kind for each in told] == ["embedding", "embedding"]
    assert [each.drifted for each in told] == [False, True]


def test_severities_are_ordered_and_ladders_climbed():
    assert Severity.CANNOT_TELL < Severity.NONE < Severity.LOW < Severity.HIGH < Severity.CRITICAL
    assert max(Severity.LOW, Severity.CRITICAL, Severity.MEDIUM) is Severity.CRITICAL
    assert Ladder(1, 2, 3, 4).severity(2.5) is Severity.MEDIUM
    assert Ladder(1, 2, 3, 4).severity(0.5) is Severity.NONE
