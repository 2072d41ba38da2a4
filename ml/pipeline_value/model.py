"""The model `pipeline_value`: how, when and for how much open deals will end.

Boosted trees tell, for every stretch of days ahead, the chance that an open deal is won or lost in it, given
it is open until then (discrete-time hazards with two ways to end; Tutz and Schmid 2016, from landmarks as in
van Houwelingen 2007). From the hazards follow the chance to be won by any day (Aalen-Johansen's sum) and the
expected day. What a won deal brings is the amount by now times the ratio that deals of its stage ended with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline import CATEGORIES, FEATURE_SET, NAMES
from ml.pipeline_value.amounts import AmountModel
from ml.pipeline_value.errors import PipelineModelInvalid
from ml.pipeline_value.periods import EDGES

FORM = 1
STARTS = np.concatenate([[0.0], EDGES[:-1]])

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DealForecast:
    """What is expected of n open deals.

    Attributes:
        won_within: (n, stretches) chance to be won by the end of each stretch in `EDGES`.
        lost_within: (n, stretches) the same for lost; what is missing to 1 is still open.
        amount: (n,) expected dollars if won.
        amount_spread: (n,) standard deviation of its logarithm.
    """

    won_within: Floats
    lost_within: Floats
    amount: Floats
    amount_spread: Floats

    def won_by(self, days: float) -> Floats:
        """(n,) chance to be won within `days`, at most the last edge; straight lines between the edges."""
        return _between(self.won_within, days)

    def lost_by(self, days: float) -> Floats:
        """(n,) the same for lost."""
        return _between(self.lost_within, days)

    def value_by(self, days: float) -> Floats:
        """(n,) expected dollars within `days`."""
        return np.asarray(self.won_by(days) * self.amount)

    @property
    def won_ever(self) -> Floats:
        """(n,) chance to be won within the last edge; after that nothing is told."""
        return np.asarray(self.won_within[:, -1])

    def days_to_close(self) -> Floats:
        """(n,) days by which half of the chance to end, either way, is used up."""
        ended = (self.won_within + self.lost_within) / (self.won_within + self.lost_within)[:, -1:]
        return np.array([np.interp(0.5, np.append(0.0, row), np.append(0.0, EDGES)) for row in ended])


class PipelineModel:
    """Fitted hazards and amounts.

    Attributes:
        booster: LightGBM's multiclass booster over the features and the stretch; text is its form on disk.
        levels: the texts of each category, in the order of their codes.
        amounts: what won deals bring.
        spread: how much wider the real errors of campaigns were than chance alone makes them, at least 1.
        shares: importance of each feature by gain.
    """

    def __init__(
        self,
        booster: Any,
        levels: dict[str, tuple[str, ...]],
        amounts: AmountModel,
        spread: float = 1.0,
    ) -> None:
        self.booster, self.levels, self.amounts, self.spread = booster, levels, amounts, spread

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns that `forecast` reads."""
        return (*NAMES, "amount")

    def forecast(self, deals: pd.DataFrame) -> DealForecast:
        """What is expected of open deals.

        Args:
            deals: the columns of the pipeline feature set and `amount` (dollars by now).

        Raises:
            ValueError: a column is missing.
        """
        missing = [name for name in self.feature_names if name not in deals]
        if missing:
            raise ValueError(f"deals have no column {', '.join(missing)}: make them with deal_features")
        count, stretches = len(deals), len(EDGES)
        if not count:
            empty = np.zeros((0, stretches))
            return DealForecast(empty, empty, np.zeros(0), np.zeros(0))
        encoded = encode(deals, self.levels)
        rows = np.repeat(encoded, stretches, axis=0)
        rows = np.column_stack([rows, np.tile(STARTS, count)])
        hazards = np.asarray(self.booster.predict(rows)).reshape(count, stretches, 3)
        still = np.concatenate([np.ones((count, 1)), np.cumprod(hazards[:, :, 0], axis=1)[:, :-1]], axis=1)
        amount, spread = self.amounts.expect(deals)
        return DealForecast(
            np.cumsum(still * hazards[:, :, 1], axis=1),
            np.cumsum(still * hazards[:, :, 2], axis=1),
            amount,
            spread,
        )

    def importances(self) -> dict[str, float]:
        """Share of the gain by feature, largest first."""
        gain = self.booster.feature_importance("gain")
        names = (*NAMES, "days_ahead")
        total = float(gain.sum()) or 1.0
        return dict(
            sorted(((n, float(g) / total) for n, g in zip(names, gain, strict=True)), key=lambda x: -x[1])
        )

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing folder."""
        self.booster.save_model(str(folder / "hazards.txt"))
        told = {
            "form": FORM,
            "feature_set": FEATURE_SET,
            "edges": EDGES.tolist(),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "amounts": self.amounts.told(),
            "spread": self.spread,
        }
        (folder / "model.json").write_text(json.dumps(told, indent=1))

    @classmethod
    def load(cls, folder: Path) -> PipelineModel:
        """Read what `save` wrote.

        Raises:
            PipelineModelInvalid: the files are of another form, or not there.
        """
        import lightgbm

        try:
            told = json.loads((folder / "model.json").read_text())
            same = (
                told["form"] == FORM
                and told["feature_set"] == FEATURE_SET
                and told["edges"] == EDGES.tolist()
            )
            if not same:
                raise PipelineModelInvalid(
                    f"the model was written with features {told['feature_set']} in form "
                    f"{told['form']}, this code "
                    f"reads {FEATURE_SET} in form {FORM}: train it anew"
                )
            return cls(
                lightgbm.Booster(model_file=str(folder / "hazards.txt")),
                {name: tuple(levels) for name, levels in told["levels"].items()},
                AmountModel.from_told(told["amounts"]),
                float(told["spread"]),
            )
        except (OSError, KeyError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise PipelineModelInvalid(
                f"the model's files cannot be read ({type(error).__name__}): train it anew"
            ) from error


def learn_levels(deals: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The texts of each category that occur."""
    return {name: tuple(sorted(map(str, deals[name].dropna().unique()))) for name in CATEGORIES}


def encode(deals: pd.DataFrame, levels: dict[str, tuple[str, ...]]) -> Floats:
    """(n, k) numbers: categories by code, missing and unknown ones as NaN."""
    columns = []
    for name in NAMES:
        if name in levels:
            codes = pd.Index(levels[name]).get_indexer(pd.Index(deals[name].astype("object")))
            columns.append(np.where(codes < 0, np.nan, codes.astype("float64")))
        else:
            columns.append(pd.to_numeric(deals[name], errors="coerce").to_numpy(dtype="float64"))
    return np.column_stack(columns)


def _between(within: Floats, days: float) -> Floats:
    """Columns at the edges, interpolated."""
    if days >= EDGES[-1]:
        return np.asarray(within[:, -1])
    edge = int(np.searchsorted(EDGES, days, side="left"))
    before = within[:, edge - 1] if edge else np.zeros(len(within))
    part = (days - STARTS[edge]) / (EDGES[edge] - STARTS[edge])
    return np.asarray(before + part * (within[:, edge] - before))
