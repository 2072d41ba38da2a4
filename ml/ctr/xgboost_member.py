"""The first member of the CTR model: gradient-boosted trees under a binomial loss that knows impressions."""

from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import xgboost

from ml.ctr.baseline import ShrunkConstant
from ml.ctr.encoding import FrameEncoder
from ml.ctr.settings import XgboostSettings
from ml.features import FeatureFrame


class XgboostMember:
    """XGBoost on clicks out of impressions.

    The label of a row is its click rate and its weight is its impressions: under the logistic loss this has
    the same gradient as one row for each click and each impression without one, at a fraction of the size.
    Boosting starts from the pooled rate, so that no trees means the constant.

    Attributes:
        encoder_: columns and category levels learnt.
        booster_: the trees.
        rounds_: how many of them.
    """

    name = "xgboost"

    def __init__(self, settings: XgboostSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed

    def fit(
        self, train: FeatureFrame, validation: FeatureFrame | None = None, rounds: int | None = None
    ) -> Self:
        """Grow trees on `train`.

        Args:
            train: rows to learn from.
            validation: rows to stop on; without them exactly `rounds` trees are grown.
            rounds: number of trees; None takes the settings'.
        """
        self.encoder_ = FrameEncoder().fit(train.X)
        matrix = self._matrix(train)
        parameters = {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "base_score": ShrunkConstant().fit(train.clicks, train.impressions).rate_,
            "tree_method": "hist",
            "learning_rate": self.settings.learning_rate,
            "max_depth": self.settings.max_depth,
            "min_child_weight": self.settings.min_child_weight,
            "reg_lambda": self.settings.reg_lambda,
            "seed": self.seed,
            "nthread": self.settings.threads,
        }
        rounds = self.settings.rounds if rounds is None else rounds
        if validation is None:
            self.booster_ = xgboost.train(parameters, matrix, num_boost_round=rounds)
        else:
            grown = xgboost.train(
                parameters,
                matrix,
                num_boost_round=rounds,
                evals=[(self._matrix(validation), "validation")],
                early_stopping_rounds=self.settings.early_stopping_rounds,
                verbose_eval=False,
            )
            self.booster_ = grown[: grown.best_iteration + 1]
        self.rounds_ = self.booster_.num_boosted_rounds()
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """(n,) click rates for rows of features; unknown levels and absent columns count as missing."""
        matrix = xgboost.DMatrix(
            self.encoder_.transform(X),
            feature_names=list(self.encoder_.columns_),
            feature_types=self.encoder_.feature_types,
            enable_categorical=True,
            nthread=self.settings.threads,
        )
        return np.asarray(self.booster_.predict(matrix), dtype="float64")

    def importances(self) -> dict[str, float]:
        """Share of the total gain each feature brought, largest first; features never split on have none."""
        gain = self.booster_.get_score(importance_type="total_gain")
        total = sum(gain.values()) or 1.0
        return {name: value / total for name, value in sorted(gain.items(), key=lambda item: -item[1])}

    def save(self, path: Path) -> None:
        """Write the trees as XGBoost's own UBJSON; encoder and settings are the caller's to keep."""
        self.booster_.save_model(path)

    def restore(self, path: Path, encoder: FrameEncoder) -> Self:
        """Take trees that `save` wrote and the encoder that went with them."""
        self.encoder_ = encoder
        self.booster_ = xgboost.Booster()
        self.booster_.load_model(path)
        self.rounds_ = self.booster_.num_boosted_rounds()
        return self

    def _matrix(self, frame: FeatureFrame) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            self.encoder_.transform(frame.X),
            label=frame.ctr,
            weight=frame.impressions.astype("float64"),
            feature_names=list(self.encoder_.columns_),
            feature_types=self.encoder_.feature_types,
            enable_categorical=True,
            nthread=self.settings.threads,
        )
