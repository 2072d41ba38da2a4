"""Models of single niches: a few trees on top of the global model, and only where they are proved better.

A niche's trees start at the global model's log-odds and move away from it in small steps, so a niche with
little data stays close to what all niches taught. A niche keeps its trees only if, on rows none of its trees
saw, they beat the global model with confidence, all niches being tried together. Any other niche, a new one
included, is answered by the global model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import xgboost
from scipy.stats import t as student

from ml.ctr.encoding import FrameEncoder
from ml.ctr.evaluation import log_loss_sums
from ml.ctr.member import EncodedRows, rate_of
from ml.ctr.settings import NicheSettings, XgboostSettings

COLUMN = "niche"

# Fewer ads cannot tell a niche's own trees from luck, whatever their clicks.
_LEAST_ADS = 5


@dataclass(frozen=True)
class NicheTrial:
    """How a niche's own trees did against the global model on rows they did not see.

    Attributes:
        niche: which.
        rounds: trees grown.
        saved: share of the global model's log loss that they saved.
        low: lower end of its one-sided interval.
        accepted: whether `low` is above 0.
        reason: why not, for people; empty where accepted.
    """

    niche: str
    rounds: int
    saved: float
    low: float
    accepted: bool
    reason: str


@dataclass
class NicheModels:
    """The niches' own trees.

    Attributes:
        boosters_: niche -> trees whose margin is added to the global log-odds.
        trials_: what was tried, by niche.
    """

    settings: NicheSettings
    trees: XgboostSettings
    encoder: FrameEncoder
    seed: int
    boosters_: dict[str, xgboost.Booster] = field(default_factory=dict)
    trials_: tuple[NicheTrial, ...] = ()

    def fit(
        self, parts: tuple[EncodedRows, EncodedRows, EncodedRows], offsets: tuple, ads: np.ndarray
    ) -> Self:
        """Grow, stop and judge.

        Args:
            parts: rows to learn from, to stop on, and to be judged by.
            offsets: (n,) log-odds of the global model for each of them.
            ads: (n,) the ad of each judging row.
        """
        names = self.encoder.levels_.get(COLUMN, ())
        trials = []
        for code, niche in enumerate(names):
            masks = [self._rows_of(part, code) for part in parts]
            clicks = [int(part.clicks[mask].sum()) for part, mask in zip(parts, masks, strict=True)]
            if min(clicks) < self.settings.min_clicks:
                trials.append(
                    NicheTrial(
                        niche, 0, 0.0, 0.0, False, f"{min(clicks)} clicks in its smallest part are too few"
                    )
                )
                continue
            train, stop = (
                self._matrix(part.take(mask), offset[mask])
                for part, mask, offset in zip(parts[:2], masks[:2], offsets[:2], strict=True)
            )
            grown = xgboost.train(
                self._parameters(),
                train,
                num_boost_round=self.settings.rounds,
                evals=[(stop, "stop")],
                early_stopping_rounds=self.trees.early_stopping_rounds,
                verbose_eval=False,
            )
            booster = grown[: grown.best_iteration + 1]
            judged, offset = parts[2].take(masks[2]), offsets[2][masks[2]]
            trial = self._judge(niche, booster, judged, offset, ads[masks[2]], len(names))
            trials.append(trial)
            if trial.accepted:
                self.boosters_[niche] = booster
        self.trials_ = tuple(trials)
        return self

    def refitted(self, rows: EncodedRows, offset: np.ndarray, encoder: FrameEncoder) -> NicheModels:
        """The accepted niches' trees grown anew on all `rows`, as many as they had."""
        fresh = NicheModels(self.settings, self.trees, encoder, self.seed, trials_=self.trials_)
        names = encoder.levels_.get(COLUMN, ())
        for niche, booster in self.boosters_.items():
            if niche not in names:
                continue
            mask = fresh._rows_of(rows, names.index(niche))
            fresh.boosters_[niche] = xgboost.train(
                fresh._parameters(),
                fresh._matrix(rows.take(mask), offset[mask]),
                num_boost_round=booster.num_boosted_rounds(),
            )
        return fresh

    def moved(self, matrix: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
        """(n,) log-odds with the niches' trees added to the global ones."""
        if not self.boosters_:
            return log_odds
        out = log_odds.copy()
        names = self.encoder.levels_[COLUMN]
        place = self.encoder.columns_.index(COLUMN)
        for niche, booster in self.boosters_.items():
            mask = matrix[:, place] == names.index(niche)
            if mask.any():
                own = self._plain(matrix[mask])
                own.set_base_margin(log_odds[mask])
                out[mask] = booster.predict(own, output_margin=True)
        return out

    def save(self, folder: Path) -> None:
        """Write each niche's trees as XGBoost's own UBJSON."""
        for niche, booster in self.boosters_.items():
            booster.save_model(folder / self._file(niche))

    def restore(self, folder: Path, niches: list[str]) -> Self:
        """Take the trees of these niches that `save` wrote."""
        for niche in niches:
            self.boosters_[niche] = xgboost.Booster()
            self.boosters_[niche].load_model(folder / self._file(niche))
        return self

    def _file(self, niche: str) -> str:
        return f"niche_{self.encoder.levels_[COLUMN].index(niche)}.ubj"

    def _rows_of(self, rows: EncodedRows, code: int) -> np.ndarray:
        return np.asarray(rows.matrix[:, self.encoder.columns_.index(COLUMN)] == code)

    def _judge(
        self,
        niche: str,
        booster: xgboost.Booster,
        rows: EncodedRows,
        offset: np.ndarray,
        ads: np.ndarray,
        tried: int,
    ) -> NicheTrial:
        own = self._plain(rows.matrix)
        own.set_base_margin(offset)
        predicted = booster.predict(own)
        counts = (rows.clicks, rows.impressions)
        before = log_loss_sums(rate_of(offset), *counts)
        of_row = np.unique(ads.astype(str), return_inverse=True)[1]
        gain = np.bincount(of_row, weights=before - log_loss_sums(predicted, *counts))
        rounds, total = booster.num_boosted_rounds(), float(before.sum())
        if len(gain) < _LEAST_ADS:
            saved = float(gain.sum()) / total
            return NicheTrial(niche, rounds, saved, saved, False, f"{len(gain)} ads to judge by are too few")
        # Standard error of a sum over ads, which are independent of each other.
        error = float(np.sqrt(len(gain)) * gain.std(ddof=1))
        strict = student.ppf(1 - (1 - self.settings.confidence) / tried, len(gain) - 1)
        saved, low = float(gain.sum()) / total, float(gain.sum() - strict * error) / total
        reason = "" if low > 0 else "not proved better than the global model"
        return NicheTrial(niche, rounds, saved, low, low > 0, reason)

    def _parameters(self) -> dict[str, object]:
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "base_score": 0.5,
            "tree_method": "hist",
            "learning_rate": self.settings.learning_rate,
            "max_depth": self.settings.max_depth,
            "min_child_weight": self.trees.min_child_weight,
            "reg_lambda": self.trees.reg_lambda,
            "seed": self.seed,
            "nthread": self.trees.threads,
        }

    def _matrix(self, rows: EncodedRows, offset: np.ndarray) -> xgboost.DMatrix:
        matrix = self._plain(rows.matrix, label=rows.ctr, weight=rows.impressions.astype("float64"))
        matrix.set_base_margin(offset)
        return matrix

    def _plain(self, matrix: np.ndarray, **outcome: np.ndarray) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            matrix,
            feature_names=list(self.encoder.columns_),
            feature_types=self.encoder.feature_types,
            enable_categorical=True,
            nthread=self.trees.threads,
            **outcome,
        )
