"""`make bench-ctr`: members, ensemble and rivals on the same held-out rows, simulated and real.

On the simulated platform the best possible error is known (whoever knows the true rates has only the luck of
the clicks left), and is printed beside. `--world SEED` takes another world. The real data are the ads of an
export (KAG); every combiner of the ensemble is compared, and scikit-learn's HistGradientBoosting learns from
the same rows. Intervals are paired bootstraps over whole ads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from include.config import thresholds
from include.simulator import SimulatedWorld, WorldConfig
from include.stack.settings import REPOSITORY
from ml.ctr import CtrSettings
from ml.ctr.baseline import ShrunkConstant, SmoothedAverage
from ml.ctr.blending import COMBINERS
from ml.ctr.evaluation import calibration, mae_pp, normalized_entropy, skill
from ml.ctr.fitting import FittedModel, fit_model
from ml.ctr.member import EncodedRows, rate_of
from ml.ctr.training import parted
from ml.features import FeatureFrame, build_ad_features
from nightshift.train_model import ctr_settings
from tests.benchmarks.reporting import print_table, write_figures
from tests.ml.simulated import simulated_rows

KAG = REPOSITORY.parent / "shared" / "data" / "meta_ads" / "KAG_conversion_data.csv"
SEED = 11


def main() -> int:
    """Measure, print, keep."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--world", type=int, default=7, help="seed of the simulated platform")
    arguments.add_argument("--export", type=Path, default=KAG, help="an export in the form of the KAG data")
    given = arguments.parse_args()
    settings = ctr_settings(thresholds().ctr)
    world = WorldConfig(seed=given.world)
    figures = measure("sim", build_ad_features(simulated_rows(world)), settings, _truth(world))
    if given.export.exists():
        figures |= measure("kag", build_ad_features(_export(given.export)), settings)
    else:
        print(f"{given.export.name} is not there: only the simulated platform was measured")  # noqa: T201
    print(write_figures("ctr", figures))  # noqa: T201
    return 0


def measure(
    prefix: str, features: FeatureFrame, settings: CtrSettings, truth: pd.Series | None = None
) -> dict[str, float]:
    """All figures of one data set, each name with its prefix."""
    parts, split = parted(features, settings)
    test = parts["test"]
    outcome = (test.clicks, test.impressions)
    began = time.perf_counter()
    fitted = fit_model(parts["train"], parts["validation"], settings)
    seconds = time.perf_counter() - began
    matrix = EncodedRows.of(test, fitted.model.encoder).matrix
    known = features.take(split.train | split.validation)
    rates: dict[str, np.ndarray] = {
        member.name: rate_of(member.log_odds(matrix)) for member in fitted.members
    }
    members = dict(rates)
    rates["ensemble"] = fitted.model.predict(test.X)
    for name, combined in _combined(parts, settings, fitted, matrix).items():
        rates[f"combined_{name}"] = combined
    rates["constant"] = ShrunkConstant().fit(known.clicks, known.impressions).predict(len(test))
    rates["smoothed_average"] = (
        SmoothedAverage().fit(known.clicks, known.impressions, known.accounts).predict(test.accounts)
    )
    rates["hist_gradient_boosting"], their_seconds = _scikit_learn(parts, fitted, test)
    if truth is not None:
        key = pd.MultiIndex.from_arrays([test.groups.astype(str), test.dates])
        rates["oracle"] = truth.reindex(key).to_numpy()
    figures = {f"ne_{name}": normalized_entropy(each, *outcome) for name, each in rates.items()}
    best = min(members, key=lambda name: figures[f"ne_{name}"])
    gained = skill(rates["ensemble"], members[best], *outcome, test.groups, SEED)
    theirs = skill(rates["ensemble"], rates["hist_gradient_boosting"], *outcome, test.groups, SEED)
    constant = skill(rates["ensemble"], rates["constant"], *outcome, test.groups, SEED)
    figures |= {
        "delta_ne_vs_best_member": -gained.value * figures[f"ne_{best}"],
        "delta_ne_vs_best_member_low": -gained.high * figures[f"ne_{best}"],
        "delta_ne_vs_best_member_high": -gained.low * figures[f"ne_{best}"],
        "skill_vs_hist_gradient_boosting": theirs.value,
        "skill_vs_hist_gradient_boosting_low": theirs.low,
        "skill_vs_hist_gradient_boosting_high": theirs.high,
        "skill_vs_constant": constant.value,
        "skill_vs_constant_low": constant.low,
        "skill_vs_constant_high": constant.high,
        "ece": calibration(rates["ensemble"], *outcome).error_pp / 100,
        "mae_pp": mae_pp(rates["ensemble"], *outcome),
        "mae_pp_constant": mae_pp(rates["constant"], *outcome),
        "training_seconds": seconds,
        "hist_gradient_boosting_seconds": their_seconds,
        "test_rows": float(len(test)),
        "test_clicks": float(test.clicks.sum()),
    }
    if truth is not None:
        figures["mae_pp_oracle"] = mae_pp(rates["oracle"], *outcome)
    print(f"\n{prefix}: {split.description}; {len(test):,} test rows")  # noqa: T201
    _print(rates, figures, test)
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def _combined(
    parts: Mapping[str, FeatureFrame], settings: CtrSettings, fitted: FittedModel, matrix: np.ndarray
) -> dict[str, np.ndarray]:
    """Every combiner over the same fitted members, without calibration and niches."""
    rows = EncodedRows.of(parts["validation"], fitted.model.encoder)
    constant = fitted.model.constant
    odds = np.log(constant / (1 - constant))

    def candidates(where: np.ndarray) -> np.ndarray:
        return np.vstack([*(member.log_odds(where) for member in fitted.members), np.full(len(where), odds)])

    seen, asked = candidates(rows.matrix), candidates(matrix)
    return {
        name: rate_of(combine(seen, rows.clicks, rows.impressions, settings.ensemble.steps) @ asked)
        for name, combine in COMBINERS.items()
    }


def _scikit_learn(
    parts: Mapping[str, FeatureFrame], fitted: FittedModel, test: FeatureFrame
) -> tuple[np.ndarray, float]:
    """HistGradientBoosting on rates weighted by impressions, with its own early stopping."""
    encoder = fitted.model.encoder
    train = EncodedRows.of(parts["train"], encoder)
    categories = [place for place, name in enumerate(encoder.columns_) if name in encoder.levels_]
    began = time.perf_counter()
    learner = HistGradientBoostingRegressor(
        loss="poisson",
        max_iter=400,
        learning_rate=0.05,
        early_stopping=True,
        validation_fraction=0.15,
        n_iter_no_change=30,
        categorical_features=categories,
        random_state=SEED,
    )
    learner.fit(train.matrix, train.ctr, sample_weight=train.impressions)
    seconds = time.perf_counter() - began
    predicted = learner.predict(EncodedRows.of(test, encoder).matrix)
    return np.clip(predicted, 1e-7, 1 - 1e-7), seconds


def _print(rates: Mapping[str, np.ndarray], figures: Mapping[str, float], test: FeatureFrame) -> None:
    rows = []
    for name, each in rates.items():
        against = skill(each, rates["constant"], test.clicks, test.impressions, test.groups, SEED)
        rows.append(
            [
                name,
                f"{figures[f'ne_{name}']:.5f}",
                f"{against.value:+.4f} ({against.low:+.4f} to {against.high:+.4f})",
                f"{mae_pp(each, test.clicks, test.impressions):.4f}",
                f"{calibration(each, test.clicks, test.impressions).error_pp:.4f}",
            ]
        )
    print_table(["", "NE", "skill over the constant", "MAE pp", "calibration pp"], rows)
    print(  # noqa: T201
        f"ensemble against its best member: NE {figures['delta_ne_vs_best_member']:+.5f} "
        f"({figures['delta_ne_vs_best_member_low']:+.5f} to {figures['delta_ne_vs_best_member_high']:+.5f}); "
        f"fitted in {figures['training_seconds']:.1f} s"
    )


def _truth(config: WorldConfig) -> pd.Series:
    """The true rate of every ad and day."""
    daily = SimulatedWorld.generate(replace(config)).daily
    groups = daily["account_id"].astype(str) + "/" + daily["ad_id"].astype(str)
    days = pd.to_datetime(daily["date"]).to_numpy().astype("datetime64[D]")
    return pd.Series(daily["true_ctr"].to_numpy(), index=pd.MultiIndex.from_arrays([groups, days]))


def _export(path: Path) -> pd.DataFrame:
    renamed = {"xyz_campaign_id": "campaign_id", "Impressions": "impressions", "Clicks": "clicks"}
    return pd.read_csv(path).rename(columns=renamed).assign(account_id="kag", metric_date=None, breakdown="")


if __name__ == "__main__":
    raise SystemExit(main())
