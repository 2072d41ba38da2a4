"""XGBoost: gradient-boosted trees under a binomial loss that knows impressions."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import xgboost

from ml.ctr.baseline import ShrunkConstant
from ml.ctr.encoding import FrameEncoder
from ml.ctr.member import EncodedRows
from ml.ctr.settings import XgboostSettings

FILE = "xgboost.ubj"


class XgboostMember:
    """XGBoost on clicks out of impressions.

    The label of a row is its click rate and its weight is its impressions: under the logistic loss this has
    the same gradient as one row for each click and each impression without one, at a fraction of the size.
    Boosting starts from the pooled rate, so that no trees means the constant.

    Attributes:
        booster_: the trees.
        rounds_: how many of them.
    """

    name: ClassVar[str] = "xgboost"

    def __init__(self, settings: XgboostSettings, encoder: FrameEncoder, seed: int) -> None:
        self.settings = settings
        self.encoder = encoder
        self.seed = seed

    def fit(
        self, train: EncodedRows, validation: EncodedRows | None = None, rounds: int | None = None
    ) -> Self:
        """Grow trees on `train`; see `Member.fit`."""
        rate = ShrunkConstant().fit(train.clicks, train.impressions).rate_
        parameters = {**self._parameters(), "base_score": rate}
        most = self.settings.rounds if rounds is None else rounds
        if validation is None:
            self.booster_ = xgboost.train(parameters, self._labelled(train), num_boost_round=most)
        else:
            grown = xgboost.train(
                parameters,
                self._labelled(train),
                num_boost_round=most,
                evals=[(self._labelled(validation), "validation")],
                early_stopping_rounds=self.settings.early_stopping_rounds,
                verbose_eval=False,
            )
            self.booster_ = grown[: grown.best_iteration + 1]
        self.rounds_ = self.booster_.num_boosted_rounds()
        return self

    def extended(self, new: EncodedRows, rounds: int) -> Self:
        """Further trees on newer rows; see `Member.extended`."""
        longer = type(self)(self.settings, self.encoder, self.seed)
        longer.booster_ = xgboost.train(
            self._parameters(), self._labelled(new), num_boost_round=rounds, xgb_model=self.booster_.copy()
        )
        longer.rounds_ = longer.booster_.num_boosted_rounds()
        return longer

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        return np.asarray(self.booster_.predict(self._matrix(matrix), output_margin=True), dtype="float64")

    def importances(self) -> Mapping[str, float]:
        """Share of the total gain each column brought."""
        gain = self.booster_.get_score(importance_type="total_gain")
        total = sum(gain.values()) or 1.0
        return {name: float(value) / total for name, value in gain.items()}

    def save(self, folder: Path) -> None:
        """Write the trees as XGBoost's own UBJSON."""
        self.booster_.save_model(folder / FILE)

    def restore(self, folder: Path) -> Self:
        """Take the trees that `save` wrote."""
        self.booster_ = xgboost.Booster()
        self.booster_.load_model(folder / FILE)
        self.rounds_ = self.booster_.num_boosted_rounds()
        return self

    def _parameters(self) -> dict[str, object]:
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "learning_rate": self.settings.learning_rate,
            "max_depth": self.settings.max_depth,
            "min_child_weight": self.settings.min_child_weight,
            "reg_lambda": self.settings.reg_lambda,
            "seed": self.seed,
            "nthread": self.settings.threads,
        }

    def _labelled(self, rows: EncodedRows) -> xgboost.DMatrix:
        return self._matrix(rows.matrix, label=rows.ctr, weight=rows.impressions.astype("float64"))

    def _matrix(self, matrix: np.ndarray, **outcome: np.ndarray) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            matrix,
            feature_names=list(self.encoder.columns_),
            feature_types=self.encoder.feature_types,
            enable_categorical=True,
            nthread=self.settings.threads,
            **outcome,
        )
