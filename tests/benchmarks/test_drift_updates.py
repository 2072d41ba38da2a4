"""The benchmark of updates measures what it says: excess over those who know, and ties counted as ties."""

import math

import numpy as np
import pytest

from ml.ctr import train_ctr
from ml.ctr.member import log_odds_of
from tests.benchmarks.drift_updates import (
    FIRST_DAY,
    UpdateCase,
    World,
    bench_settings,
    measure_updates,
    print_updates,
    summarized,
)


class Knowing:
    """Knows the true rates of a world, or twice as high ones."""

    def __init__(self, world, kind, times=1.0):
        self.world, self.kind, self.times = world, kind, times

    def predict(self, X):
        numbers = X[[f"number_{place}" for place in range(4)]].to_numpy()
        categories = np.column_stack([X[f"category_{place}"].cat.codes for place in range(2)])
        odds = np.exp(self.world.log_odds(self.kind, numbers, categories)) * self.times
        return odds / (1 + odds)


@pytest.mark.parametrize("kind", ["none", "covariate", "prior", "concept"])
def test_who_knows_the_rates_has_next_to_no_excess_and_nobody_has_less_than_none(kind):
    world = World(3, 0.17)
    knows, doubles = world.excess(Knowing(world, kind), kind), world.excess(Knowing(world, kind, 2), kind)
    assert 0 <= knows < 0.1
    assert doubles > 3


def test_a_change_of_regime_changes_what_a_model_of_the_old_one_is_worth():
    world = World(3, 0.17)
    old = world.rows("none", 200, 10, FIRST_DAY, stream=0)
    model = train_ctr(old, bench_settings()).model
    assert old.clicks.sum() / old.impressions.sum() == pytest.approx(0.17, abs=0.06)
    assert log_odds_of(0.17) < 0
    assert world.excess(model, "none") < min(world.excess(model, kind) for kind in ("prior", "concept"))


def test_a_case_in_which_nothing_was_done_ties_and_one_that_got_worse_does_not():
    excess = {
        "keep": 2.0,
        "recalibrate": 1.0,
        "continue": 3.0,
        "retrain_full": 2.5,
        "retrain_recent": math.nan,
    }
    kept, worse = (
        UpdateCase("prior", 100, "2 %", 1, excess, chosen, found)
        for chosen, found in (("keep", 2.0), ("continue", 3.0))
    )
    told = summarized([kept, worse])
    assert (told.cases, told.updates, told.harmed) == (2, 1, 1)
    assert told.share_ties_or_beats_keep == 0.5
    assert told.excess["prior", "tournament"] == 2.5
    assert (told.regret, told.regret_keep) == (1.5, 1.0)


def test_a_seed_is_measured_and_printed(capsys):
    cases, summary = measure_updates([5], sizes=[500])
    assert len(cases) == summary.cases == 8
    assert all(case.tournament in {*case.excess.values()} or case.chosen != "keep" for case in cases)
    by_kind = {case.kind: case for case in cases if case.rate == "17 %"}
    assert by_kind["prior"].excess["recalibrate"] < by_kind["prior"].excess["keep"]
    assert summary.regret < summary.regret_keep
    print_updates(cases, summary)
    assert "the tournament ties or beats keep in" in capsys.readouterr().out
