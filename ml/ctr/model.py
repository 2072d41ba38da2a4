"""The CTR model as it is kept and served: members, the columns they know, and plain files for both.

Files are JSON and the members' own formats, never pickles: a model loads on any machine with this code, and
loading one runs nothing that came with it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ml.ctr.encoding import FrameEncoder
from ml.ctr.errors import ModelFilesInvalid
from ml.ctr.settings import XgboostSettings
from ml.ctr.xgboost_member import XgboostMember

_FORM = 1
_DESCRIPTION = "ctr_model.json"
_TREES = "xgboost.ubj"


@dataclass(frozen=True)
class CtrModel:
    """Predicts clicks per impression from a frame of features.

    Attributes:
        member: the fitted member; an ensemble will hold several.
        feature_set: name and version of the recipe its columns come from.
    """

    member: XgboostMember
    feature_set: str

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns the model learnt from."""
        return self.member.encoder_.columns_

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """(n,) click rates; absent columns, missing values and unknown levels are allowed everywhere."""
        return self.member.predict(X)

    def importances(self) -> dict[str, float]:
        """Share of the gain of each feature used, largest first."""
        return self.member.importances()

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing folder."""
        self.member.save(folder / _TREES)
        description = {
            "form": _FORM,
            "feature_set": self.feature_set,
            "seed": self.member.seed,
            "encoder": self.member.encoder_.as_dict(),
            "xgboost": vars(self.member.settings),
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
            member = XgboostMember(XgboostSettings(**written["xgboost"]), seed=written["seed"])
            member.restore(folder / _TREES, FrameEncoder.from_dict(written["encoder"]))
        except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ModelFilesInvalid(
                f"model in {folder.name}: {_DESCRIPTION} or {_TREES} cannot be read ({error})"
            ) from error
        return cls(member=member, feature_set=written["feature_set"])
