"""Experiments made up for tests."""

from __future__ import annotations

import numpy as np

from ml.experiments import ExperimentData, ExperimentSettings


def plan(**changes):
    """The plan of the tests: 10 %, one to four weeks."""
    given = {
        "challenger_share": 0.1,
        "min_days": 7,
        "max_days": 28,
        "alpha": 0.05,
        "power": 0.8,
        "min_effect": 0.0,
        "harm_effect": 0.0,
        "min_units_per_arm": 10,
    }
    return ExperimentSettings(**{**given, **changes})


def requests(units=20_000, effect=0.0, seed=0, share=0.1):
    """Requests as units, with skewed losses of mean 0.05; `effect` is the challenger's relative change."""
    random = np.random.default_rng(seed)
    challengers = round(units * share)
    champions = units - challengers
    return ExperimentData(
        random.gamma(0.5, 0.1, champions),
        np.ones(champions),
        (1 + effect) * random.gamma(0.5, 0.1, challengers),
        np.ones(challengers),
    )


def accounts(units=400, effect=0.0, seed=0, share=0.25, known=True):
    """Accounts as units, of very different size and loss, each with its past."""
    random = np.random.default_rng(seed)
    weight = np.round(np.exp(random.normal(5, 1, units)))
    usual = 0.05 * np.exp(random.normal(0, 0.5, units))
    challenger = np.arange(units) < round(units * share)
    loss = weight * usual * random.gamma(50, 1 / 50, units) * np.where(challenger, 1 + effect, 1)
    pre = usual * random.gamma(50, 1 / 50, units) if known else np.full(units, np.nan)
    return ExperimentData(
        loss[~challenger],
        weight[~challenger],
        loss[challenger],
        weight[challenger],
        pre[~challenger],
        pre[challenger],
    )
