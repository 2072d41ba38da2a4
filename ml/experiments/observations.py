"""What an experiment saw: for each unit the loss, the impressions, and what was known of it before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.experiments.errors import ExperimentDataInvalid

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UnitLosses:
    """The units of one arm, summed over the experiment so far.

    Attributes:
        loss: (n,) total loss of the unit.
        weight: (n,) its impressions; units without any are counted as assigned, and told nothing else.
        pre: (n,) its mean loss before the experiment, NaN where unknown.

    Raises:
        ExperimentDataInvalid: lengths differ, a loss is not finite, or a weight is negative or not finite.
    """

    loss: Numbers
    weight: Numbers
    pre: Numbers

    def __post_init__(self) -> None:
        columns = {}
        for name in ("loss", "weight", "pre"):
            columns[name] = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, columns[name])
            if columns[name].ndim != 1:
                raise ExperimentDataInvalid(
                    f"{name} has {columns[name].ndim} dimensions; one a unit is needed"
                )
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{length} of {name}" for name, length in lengths.items())
            raise ExperimentDataInvalid(f"every unit needs loss, weight and pre, but there are {told}")
        if not np.isfinite(self.loss).all():
            raise ExperimentDataInvalid(
                f"the loss of unit {_first(~np.isfinite(self.loss))} is no finite number"
            )
        wrong = ~(np.isfinite(self.weight) & (self.weight >= 0))
        if wrong.any():
            raise ExperimentDataInvalid(f"the weight of unit {_first(wrong)} is not a number of 0 or more")

    @classmethod
    def of_rows(
        cls,
        units: Sequence[str],
        losses: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
        pre: Mapping[str, float] | None = None,
    ) -> UnitLosses:
        """Sum rows, such as requests or days, by unit; the units are sorted by name.

        Args:
            units: (r,) whose row it is.
            losses: (r,) loss of the row, summed over its impressions.
            weights: (r,) its impressions, one each by default.
            pre: unit -> mean loss before the experiment.
        """
        loss = np.asarray(losses, dtype=np.float64)
        weight = np.ones_like(loss) if weights is None else np.asarray(weights, dtype=np.float64)
        if not len(units) == len(loss) == len(weight):
            raise ExperimentDataInvalid(
                f"there are {len(units)} units, {len(loss)} losses and {len(weight)} weights; one each a row"
            )
        names, place = np.unique(np.asarray(units, dtype=str), return_inverse=True)
        known = pre or {}
        return cls(
            np.bincount(place, loss, len(names)).astype(np.float64),
            np.bincount(place, weight, len(names)).astype(np.float64),
            np.array([known.get(str(name), np.nan) for name in names], dtype=np.float64),
        )


@dataclass(frozen=True)
class ExperimentData:
    """Both arms, by unit; see `UnitLosses`. Without `pre` nothing is known from before the experiment.

    Raises:
        ExperimentDataInvalid: the arrays of an arm do not fit together.
    """

    champion_loss: Numbers
    champion_weight: Numbers
    challenger_loss: Numbers
    challenger_weight: Numbers
    champion_pre: Numbers | None = None
    challenger_pre: Numbers | None = None

    def __post_init__(self) -> None:
        for arm in ("champion", "challenger"):
            loss, weight, pre = (getattr(self, f"{arm}_{name}") for name in ("loss", "weight", "pre"))
            given = np.full(np.shape(loss), np.nan) if pre is None else pre
            try:
                units = UnitLosses(loss, weight, given)
            except ExperimentDataInvalid as error:
                raise ExperimentDataInvalid(f"In the {arm} arm {error}") from error
            for name in ("loss", "weight", "pre"):
                object.__setattr__(self, f"{arm}_{name}", getattr(units, name))

    @classmethod
    def of(cls, champion: UnitLosses, challenger: UnitLosses) -> ExperimentData:
        """From the two arms."""
        return cls(
            champion.loss, champion.weight, challenger.loss, challenger.weight, champion.pre, challenger.pre
        )


def _first(wrong: npt.NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(wrong)[0])
