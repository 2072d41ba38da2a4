"""LightGBM: leaf-wise trees under the cross-entropy of rates weighted by impressions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import lightgbm
import numpy as np

from ml.ctr.encoding import FrameEncoder
from ml.ctr.member import EncodedRows
from ml.ctr.settings import LightgbmSettings

FILE = "lightgbm.txt"

# A rate of exactly 0 is a label like any other to the cross-entropy; only all of them being 0 is not.
_QUIET = {"verbosity": -1}


class LightgbmMember:
    """LightGBM on click rates with impressions for weights.

    Objective `cross_entropy` is LightGBM's logistic loss for labels between 0 and 1. Its first tree carries
    the pooled rate. One thread in row order makes it reproducible to the last bit.

    Attributes:
        booster_: the trees.
        rounds_: how many of them.
    """

    name: ClassVar[str] = "lightgbm"

    def __init__(self, settings: LightgbmSettings, encoder: FrameEncoder, seed: int) -> None:
        self.settings = settings
        self.encoder = encoder
        self.seed = seed

    def fit(
        self, train: EncodedRows, validation: EncodedRows | None = None, rounds: int | None = None
    ) -> Self:
        """Grow trees on `train`; see `Member.fit`."""
        most = self.settings.rounds if rounds is None else rounds
        data = self._labelled(train)
        if validation is None:
            self.booster_ = lightgbm.train(self._parameters(), data, num_boost_round=most)
        else:
            grown = lightgbm.train(
                self._parameters(),
                data,
                num_boost_round=most,
                valid_sets=[self._labelled(validation, reference=data)],
                callbacks=[lightgbm.early_stopping(self.settings.early_stopping_rounds, verbose=False)],
            )
            # Cut, so that what is kept, continued and converted is what predicts.
            self.booster_ = lightgbm.Booster(
                model_str=grown.model_to_string(num_iteration=grown.best_iteration)
            )
        self.rounds_ = self.booster_.current_iteration()
        return self

    def extended(self, new: EncodedRows, rounds: int) -> Self:
        """Further trees on newer rows; see `Member.extended`."""
        longer = type(self)(self.settings, self.encoder, self.seed)
        longer.booster_ = lightgbm.train(
            self._parameters(), self._labelled(new), num_boost_round=rounds, init_model=self.booster_
        )
        longer.rounds_ = longer.booster_.current_iteration()
        return longer

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds."""
        told = self.booster_.predict(matrix, raw_score=True, num_threads=self.settings.threads)
        return np.asarray(told, dtype="float64")

    def importances(self) -> Mapping[str, float]:
        """Share of the total gain each column brought."""
        gain = self.booster_.feature_importance("gain")
        total = float(gain.sum()) or 1.0
        return {
            name: float(value) / total
            for name, value in zip(self.encoder.columns_, gain, strict=True)
            if value > 0
        }

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM's own text."""
        (folder / FILE).write_text(self.booster_.model_to_string())

    def restore(self, folder: Path) -> Self:
        """Take the trees that `save` wrote."""
        self.booster_ = lightgbm.Booster(model_str=(folder / FILE).read_text())
        self.rounds_ = self.booster_.current_iteration()
        return self

    def _parameters(self) -> dict[str, Any]:
        return _QUIET | {
            "objective": "cross_entropy",
            "metric": "cross_entropy",
            "learning_rate": self.settings.learning_rate,
            "num_leaves": self.settings.leaves,
            "min_sum_hessian_in_leaf": self.settings.min_child_weight,
            "min_data_in_leaf": 1,
            "lambda_l2": self.settings.reg_lambda,
            "feature_fraction": self.settings.feature_share,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.settings.threads,
        }

    def _labelled(self, rows: EncodedRows, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        return lightgbm.Dataset(
            rows.matrix,
            label=rows.ctr,
            weight=rows.impressions.astype("float64"),
            feature_name=[f"f{place}" for place in range(rows.matrix.shape[1])],
            categorical_feature=[
                place for place, name in enumerate(self.encoder.columns_) if name in self.encoder.levels_
            ],
            reference=reference,
            params=_QUIET,
            free_raw_data=False,
        )
