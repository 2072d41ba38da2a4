"""Updates of a champion: each kind of change has the winner it should have, no change has none."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.ctr import (
    INCREMENTAL,
    UPDATE,
    ContinuationRefused,
    NothingNewer,
    Rival,
    Strategy,
    TrainingDataInsufficient,
    run_tournament,
    train_ctr,
)
from ml.ctr.bundle import TOLERANCE, check_parity, export_bundle
from ml.ctr.evaluation import log_loss_sums
from ml.features import build_ad_features
from tests.ml.ad_rows import ad_rows, export_rows
from tests.ml.training_settings import quick_settings

SETTINGS = quick_settings()
LAST = date(2026, 1, 22)
START = date(2026, 1, 1)


@pytest.fixture(scope="module")
def rows():
    return ad_rows(ads=200, days=32)


@pytest.fixture(scope="module")
def parent(rows) -> Rival:
    return Rival(train_ctr(build_ad_features(rows[days_of(rows) <= LAST]), SETTINGS).model, 3, LAST)


def days_of(rows):
    return pd.to_datetime(rows["metric_date"]).dt.date


def flipped(rows, since=LAST, seed=5):
    """What works is another thing after `since`."""
    hooks = rows["hook_type"].to_numpy()
    rate = np.where(hooks == sorted(set(hooks))[0], 0.004, np.where(hooks == "question", 0.01, 0.04))
    return redrawn(rows, rate, since, seed)


def redrawn(rows, rate, since=LAST, seed=5):
    new = (days_of(rows) > since).to_numpy()
    clicks = rows["clicks"].to_numpy().copy()
    clicks[new] = np.random.default_rng(seed).binomial(rows["impressions"].to_numpy()[new], rate[new])
    return rows.assign(clicks=clicks)


def doubled(rows, since=LAST):
    """All ads are clicked twice as often after `since`."""
    new = (days_of(rows) > since).to_numpy()
    return rows.assign(clicks=rows["clicks"].where(~new, np.minimum(2 * rows["clicks"], rows["impressions"])))


def loss(model, frame):
    return log_loss_sums(model.predict(frame.X), frame.clicks, frame.impressions).sum()


def of(tournament, strategy):
    return next(each for each in tournament.candidates if each.strategy is strategy)


def test_what_works_changed_and_the_winner_is_better_on_ads_nobody_has_seen(rows, parent):
    found = run_tournament(parent, build_ad_features(flipped(rows)), SETTINGS, UPDATE)
    assert found.winner in {Strategy.CONTINUE, Strategy.RETRAIN_FULL, Strategy.RETRAIN_RECENT}
    assert of(found, found.winner).saved.low > 0
    assert found.entropy_after < found.entropy_before
    others = ad_rows(seed=77, ads=120, days=20, start=LAST + timedelta(days=1))
    fresh = build_ad_features(flipped(others, LAST))
    assert loss(found.training.model, fresh) < loss(parent.model, fresh)
    assert found.sentence.startswith(f"{found.winner.value} beats v3 on ")
    assert "before" in found.sentence
    assert "after" in found.sentence


def test_the_winners_training_tells_its_figures_and_where_it_came_from(rows, parent):
    training = run_tournament(parent, build_ad_features(flipped(rows)), SETTINGS, UPDATE).training
    assert (training.mode, training.parent) == ("update", 3)
    assert training.metrics["skill_vs_champion_low"] > 0
    assert training.part_rows["test"] > 0
    assert check_parity(training.model, export_bundle(training.model), build_ad_features(rows).X) <= TOLERANCE


def test_a_retrain_after_a_change_says_what_it_forgets_of_the_old_rows(rows, parent):
    features = build_ad_features(flipped(rows))
    found = run_tournament(parent, features, SETTINGS, (Strategy.RETRAIN_RECENT,))
    assert found.winner is Strategy.RETRAIN_RECENT
    assert of(found, Strategy.RETRAIN_RECENT).old.high < 0
    assert "on old rows it loses" in found.sentence


def test_a_shift_that_all_ads_share_is_met_by_one_number(rows, parent):
    features = build_ad_features(doubled(rows)[days_of(rows) <= LAST + timedelta(days=3)])
    found = run_tournament(parent, features, SETTINGS, INCREMENTAL)
    assert found.winner is Strategy.RECALIBRATE, found.sentence
    assert found.training.mode == "incremental"
    before, after = parent.model.calibration, found.training.model.calibration
    assert after.slope == before.slope
    # The features know an ad's last days and follow of themselves: what is left to shift is a little less.
    assert after.intercept - before.intercept == pytest.approx(np.log(2), abs=0.15)


def test_where_nothing_changed_the_champion_stays(rows, parent):
    found = run_tournament(parent, build_ad_features(rows), SETTINGS, UPDATE)
    assert found.winner is None, found.sentence
    assert found.training is None
    assert found.entropy_after == found.entropy_before
    assert found.sentence.startswith("no update helps, v3 stays")


def test_a_small_update_follows_a_change_too_and_tells_what_it_forgets(rows, parent):
    found = run_tournament(parent, build_ad_features(flipped(rows)), SETTINGS, INCREMENTAL)
    assert found.winner is Strategy.CONTINUE
    assert of(found, Strategy.CONTINUE).old.value < 0
    assert found.training.mode == "incremental"


def test_a_hundred_new_rows_are_enough_to_judge_by(rows, parent):
    few = new_rows(flipped(rows), 100)
    found = run_tournament(parent, build_ad_features(few), SETTINGS, UPDATE)
    assert 0 < found.judged_rows < 100
    assert of(found, Strategy.RETRAIN_RECENT).reason.startswith("not tried: too little data")
    fewer = new_rows(flipped(rows), 99)
    with pytest.raises(ContinuationRefused, match="99 rows are newer than 2026-01-22"):
        run_tournament(parent, build_ad_features(fewer), SETTINGS, UPDATE)


def test_rows_of_one_new_day_are_judged_by_half_of_the_ads(rows, parent):
    day = flipped(rows)[days_of(rows) <= LAST + timedelta(days=1)]
    found = run_tournament(parent, build_ad_features(day), SETTINGS, UPDATE)
    assert found.winner is not None
    assert found.judged_since == found.judged_until == LAST + timedelta(days=1)
    split = found.training.split
    ads = build_ad_features(day).groups
    assert not set(ads[split.test]) & set(ads[split.validation])
    assert "a mood of these days may pass" in found.sentence


def test_too_few_ads_cannot_judge(parent):
    rows = ad_rows(seed=3, ads=8, days=60)
    with pytest.raises(ContinuationRefused, match=r"of 8 ads .*judged_ads"):
        run_tournament(parent, build_ad_features(rows), SETTINGS, UPDATE)


def test_a_champion_that_has_learnt_all_days_has_nothing_newer_to_be_judged_by(rows, parent):
    up_to_date = replace(parent, learnt_until=days_of(rows).max())
    with pytest.raises(NothingNewer, match=r"v3 has learnt these days already \(up to 2026-02-01\)"):
        run_tournament(up_to_date, build_ad_features(rows), SETTINGS, UPDATE)


def test_new_rows_without_a_click_teach_nothing(rows, parent):
    silent = redrawn(rows, np.zeros(len(rows)))
    with pytest.raises(TrainingDataInsufficient, match="has a click"):
        run_tournament(parent, build_ad_features(silent), SETTINGS, UPDATE)


def test_an_export_without_dates_has_no_newer_rows(parent):
    with pytest.raises(ContinuationRefused, match="without dates"):
        run_tournament(parent, build_ad_features(export_rows()), SETTINGS, UPDATE)


def test_one_rate_for_everybody_cannot_go_on_but_can_be_replaced(rows, parent):
    model = replace(parent.model, members=(), weights={"constant": 1.0})
    model.niches.boosters_.clear()
    assert model.is_constant
    features = build_ad_features(flipped(rows))
    found = run_tournament(Rival(model, 4, LAST), features, SETTINGS, UPDATE)
    assert "no member that could go on" in of(found, Strategy.CONTINUE).reason
    assert found.winner in {Strategy.RETRAIN_FULL, Strategy.RETRAIN_RECENT}
    small = run_tournament(Rival(model, 4, LAST), build_ad_features(doubled(rows)), SETTINGS, INCREMENTAL)
    assert small.winner is Strategy.RECALIBRATE
    assert check_parity(small.training.model, export_bundle(small.training.model), features.X) <= TOLERANCE


def test_a_champion_older_than_the_window_has_no_old_rows_to_lose_on(rows, parent):
    late = flipped(rows)[days_of(rows) > LAST]
    found = run_tournament(parent, build_ad_features(late), SETTINGS, UPDATE)
    assert found.winner is not None
    assert all(each.old is None for each in found.candidates)
    assert of(found, Strategy.RETRAIN_RECENT).reason.endswith("its rows are those of the full retrain")


def test_recent_rows_begin_where_they_are_said_to(rows, parent):
    changed = flipped(rows, since=date(2026, 1, 15))
    features = build_ad_features(changed)
    found = run_tournament(
        parent, features, SETTINGS, (Strategy.RETRAIN_RECENT,), recent_since=date(2026, 1, 16)
    )
    alone = run_tournament(parent, features, SETTINGS, (Strategy.RETRAIN_RECENT,))
    assert of(found, Strategy.RETRAIN_RECENT).saved != of(alone, Strategy.RETRAIN_RECENT).saved


def test_the_same_rows_have_the_same_winner_and_model_again(rows, parent):
    features = build_ad_features(flipped(rows))
    first, second = (run_tournament(parent, features, SETTINGS, UPDATE) for _ in range(2))
    assert first.candidates == second.candidates
    assert (first.training.model.predict(features.X) == second.training.model.predict(features.X)).all()


def new_rows(rows, number):
    """All old rows and `number` new ones, of the first new days."""
    new = np.flatnonzero((days_of(rows) > LAST).to_numpy())
    drawn = np.sort(np.random.default_rng(1).permutation(new)[:number])
    return rows.iloc[np.concatenate([np.flatnonzero((days_of(rows) <= LAST).to_numpy()), drawn])]
