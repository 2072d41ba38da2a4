"""Fits the hazards and the amounts to everything that is known at a moment."""

from __future__ import annotations

import numpy as np

from ml.features.pipeline import CATEGORIES, NAMES, Histories
from ml.features.pipeline_frames import CrmFrames
from ml.pipeline_value.amounts import AmountModel
from ml.pipeline_value.errors import TooFewDeals
from ml.pipeline_value.model import STARTS, PipelineModel, encode, learn_levels
from ml.pipeline_value.periods import PersonPeriods, person_periods
from ml.pipeline_value.settings import PipelineSettings


def fit_pipeline(histories: Histories, until: np.datetime64, settings: PipelineSettings) -> PipelineModel:
    """Fit to what is known at `until`; the same histories and settings make the same model.

    Raises:
        TooFewDeals: there are too few deals, or too few that were won or lost.
    """
    since = until - np.timedelta64(settings.max_training_days, "D")
    refuse_too_few(histories.frames, until, settings)
    periods = person_periods(histories, until, since, settings.seed)
    levels = learn_levels(periods.landmarks)
    booster = _boost(periods, encode(periods.landmarks, levels), settings)
    return PipelineModel(booster, levels, AmountModel.fit(periods.landmarks, periods.final_amount))


def _boost(periods: PersonPeriods, encoded: np.ndarray, settings: PipelineSettings) -> object:
    """Trees over features and days ahead. The newest deals say how many; then all are learnt from."""
    import lightgbm

    hazard = settings.hazard
    rows = np.column_stack([encoded[periods.look], STARTS[periods.stretch]])
    # Each deal counts the same however often it was looked at: many looks are no more evidence.
    weight = (1.0 / np.bincount(periods.codes, minlength=periods.codes.max() + 1)[periods.codes])[
        periods.look
    ]
    names = [*NAMES, "days_ahead"]
    categories = [names.index(name) for name in CATEGORIES]
    params = {
        "objective": "multiclass",
        "num_class": 3,
        "learning_rate": hazard.learning_rate,
        "num_leaves": hazard.leaves,
        "min_data_in_leaf": hazard.min_rows,
        "lambda_l2": hazard.reg_lambda,
        "feature_fraction": hazard.feature_share,
        "cat_smooth": 50.0,
        "cat_l2": 50.0,
        "seed": settings.seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }

    def data(where: np.ndarray) -> lightgbm.Dataset:
        return lightgbm.Dataset(
            rows[where],
            periods.ended[where],
            weight=weight[where],
            feature_name=names,
            categorical_feature=categories,
            free_raw_data=False,
        )

    # Codes follow creation, so the newest deals are the last codes.
    newest = periods.codes >= np.quantile(np.unique(periods.codes), 1.0 - hazard.validation_share)
    judged = newest[periods.look]
    stopped = lightgbm.train(
        params,
        data(~judged),
        num_boost_round=hazard.rounds,
        valid_sets=[data(judged)],
        callbacks=[lightgbm.early_stopping(hazard.early_stopping_rounds, verbose=False)],
    )
    rounds = max(stopped.best_iteration, 10)
    return lightgbm.train(params, data(np.ones(len(rows), bool)), num_boost_round=rounds)


def refuse_too_few(frames: CrmFrames, until: np.datetime64, settings: PipelineSettings) -> None:
    """See to it that enough deals had closed by `until`, which is all that `frames` know.

    Raises:
        TooFewDeals: with how many there are and are needed.
    """
    found = {"closed": 0, "won": 0, "lost": 0}
    if len(frames.deals):
        state = frames.state()
        since = until - np.timedelta64(settings.max_training_days, "D")
        closed = state[state["is_closed"] & (state["created_at"].to_numpy() >= since)]
        won = int(closed["is_won"].sum())
        found = {"closed": len(closed), "won": won, "lost": len(closed) - won}
    needed = {"closed": settings.min_deals, "won": settings.min_won, "lost": settings.min_lost}
    short = [name for name in found if found[name] < needed[name]]
    if short:
        raise TooFewDeals(
            f"too few deals to learn from before {str(until)[:10]}: "
            + ", ".join(f"{found[name]} {name} (at least {needed[name]} needed)" for name in short)
        )
