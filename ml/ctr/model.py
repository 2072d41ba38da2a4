"""The CTR model as it is kept and served: members, weights, calibration, niches, and plain files for all.

Files are JSON and the members' own formats, never pickles: a model loads on any machine with this code, and
loading one runs nothing that came with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ml.ctr.blending import Recalibration
from ml.ctr.encoding import FrameEncoder
from ml.ctr.errors import ModelFilesInvalid
from ml.ctr.member import Member, log_odds_of, rate_of
from ml.ctr.niche import NicheModels
from ml.ctr.settings import CtrSettings, LightgbmSettings, MlpSettings, NicheSettings, XgboostSettings

CONSTANT = "constant"
_FORM = 2
_DESCRIPTION = "ctr_model.json"


@dataclass(frozen=True)
class CtrModel:
    """Predicts clicks per impression from a frame of features.

    The log-odds of the members and of the constant are averaged by weight, calibrated, and moved by the trees
    of the row's niche where it has some.

    Attributes:
        encoder: columns and category levels it knows.
        members: those with a weight above 0; none where the constant ships.
        weights: by member name, and `constant`; they sum to 1.
        constant: the pooled rate.
        calibration: on top of the average.
        niches: models of single niches.
        feature_set: name and version of the recipe its columns come from.
    """

    encoder: FrameEncoder
    members: tuple[Member, ...]
    weights: Mapping[str, float]
    constant: float
    calibration: Recalibration
    niches: NicheModels
    feature_set: str

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns the model learnt from."""
        return self.encoder.columns_

    @property
    def is_constant(self) -> bool:
        """Whether it predicts one rate for everybody."""
        return not self.members and not self.niches.boosters_

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """(n,) click rates; absent columns, missing values and unknown levels are allowed everywhere."""
        return rate_of(self.log_odds(self.encoder.transform(X)))

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds for an encoded matrix."""
        return self.niches.moved(matrix, self.global_log_odds(matrix))

    def global_log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) log-odds before any niche's own trees."""
        total = np.full(len(matrix), self.weights.get(CONSTANT, 0.0) * float(log_odds_of(self.constant)))
        for member in self.members:
            total += self.weights[member.name] * member.log_odds(matrix)
        return self.calibration.apply(total)

    def importances(self) -> dict[str, float]:
        """Share of each feature in what the members see, by their weights; largest first."""
        shares = dict.fromkeys(self.feature_names, 0.0)
        for member in self.members:
            for name, share in member.importances().items():
                shares[name] += self.weights[member.name] * share
        total = sum(shares.values())
        return {
            name: value / total for name, value in sorted(shares.items(), key=lambda i: -i[1]) if value > 0
        }

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing folder."""
        for member in self.members:
            member.save(folder)
        self.niches.save(folder)
        description = {
            "form": _FORM,
            "feature_set": self.feature_set,
            "encoder": self.encoder.as_dict(),
            "seed": self.niches.seed,
            "members": [
                {"name": member.name, "rounds": member.rounds_, "settings": vars(member.settings)}  # type: ignore[attr-defined]
                for member in self.members
            ],
            "weights": dict(self.weights),
            "constant": self.constant,
            "calibration": vars(self.calibration),
            "niches": list(self.niches.boosters_),
            "niche_settings": vars(self.niches.settings),
            "niche_trees": vars(self.niches.trees),
        }
        (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model whose files `save` wrote.

        Raises:
            ModelFilesInvalid: a file is missing, or was written by another form of this code.
        """
        try:
            written: dict[str, Any] = json.loads((folder / _DESCRIPTION).read_text())
            if written["form"] != _FORM:
                raise ModelFilesInvalid(
                    f"model in {folder.name}: its form is {written['form']}, this code reads {_FORM}; "
                    "train it again with this code"
                )
            encoder, seed = FrameEncoder.from_dict(written["encoder"]), written["seed"]
            members = []
            for kept in written["members"]:
                member = member_of(kept["name"], kept["settings"], encoder, seed).restore(folder)
                member.rounds_ = kept["rounds"]
                members.append(member)
            niches = NicheModels(
                NicheSettings(**written["niche_settings"]),
                XgboostSettings(**written["niche_trees"]),
                encoder,
                seed,
            ).restore(folder, written["niches"])
            return cls(
                encoder=encoder,
                members=tuple(members),
                weights=written["weights"],
                constant=written["constant"],
                calibration=Recalibration(**written["calibration"]),
                niches=niches,
                feature_set=written["feature_set"],
            )
        # Each library has an error of its own for a file that is damaged.
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, _library_errors()) as error:
            if isinstance(error, ModelFilesInvalid):
                raise
            raise ModelFilesInvalid(
                f"model in {folder.name}: {_DESCRIPTION} or a member's file cannot be read ({error})"
            ) from error


MEMBER_NAMES = ("xgboost", "lightgbm", "mlp")


def member_of(name: str, settings: Mapping[str, Any], encoder: FrameEncoder, seed: int) -> Member:
    """An unfitted member by name."""
    if name == "xgboost":
        from ml.ctr.xgboost_member import XgboostMember

        return XgboostMember(XgboostSettings(**settings), encoder, seed)
    if name == "lightgbm":
        from ml.ctr.lightgbm_member import LightgbmMember

        return LightgbmMember(LightgbmSettings(**settings), encoder, seed)
    if name == "mlp":
        from ml.ctr.mlp_member import MlpMember

        return MlpMember(MlpSettings(**settings), encoder, seed)
    raise KeyError(name)


def members_of(settings: CtrSettings, encoder: FrameEncoder) -> tuple[Member, ...]:
    """All members, unfitted."""
    return tuple(
        member_of(name, vars(getattr(settings, name)), encoder, settings.seed) for name in MEMBER_NAMES
    )


def weighted(names: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    """Weights by name, the last being the constant's."""
    return {name: float(weight) for name, weight in zip((*names, CONSTANT), weights, strict=True)}


def _library_errors() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError
