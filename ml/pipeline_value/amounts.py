"""What a won deal brings, told from the amount that the CRM shows by now.

Amounts change until a deal is signed, and not by chance: estimates are corrected as the deal goes on. So the
expected final amount is the present one times the ratio that won deals of the same pipeline and stage ended
with, pulled towards the pipeline's where there were few. Without an amount it is what the pipeline's won
deals brought on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

# A stage's ratio is pulled towards its pipeline's as if so many more deals had ended with that.
PSEUDO_DEALS = 20.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AmountModel:
    """Learnt ratios; keys are `pipeline` or `pipeline/stage`, '' is everything.

    Attributes:
        ratios: final over present amount (ratio of sums).
        spreads: standard deviation of the logarithm of that ratio.
        means: dollars of a won deal, for those without an amount.
        mean_spreads: standard deviation of their logarithm.
    """

    ratios: dict[str, float]
    spreads: dict[str, float]
    means: dict[str, float]
    mean_spreads: dict[str, float]

    @classmethod
    def fit(cls, looks: pd.DataFrame, final: Floats) -> AmountModel:
        """Learn from looks at deals that were won later.

        Args:
            looks: pipeline_id, stage_id and amount at each look.
            final: (n,) dollars it was won for; missing where it was not won.
        """
        table = looks[["pipeline_id", "stage_id", "amount"]].assign(final=final)
        table = table[table["final"] > 0]
        known = table[table["amount"] > 0].copy()
        known["log"] = np.log(known["final"] / known["amount"])
        known["stage"] = known["pipeline_id"].astype(str) + "/" + known["stage_id"].astype(str)
        ratios = {"": _ratio(known["final"].sum(), known["amount"].sum(), 1.0, 0.0)}
        spreads = {"": _spread(known["log"], 0.5)}
        for pipeline, rows in known.groupby("pipeline_id"):
            ratios[str(pipeline)] = _shrunk(rows, ratios[""])
            spreads[str(pipeline)] = _spread(rows["log"], spreads[""])
        for stage, rows in known.groupby("stage"):
            above = str(rows["pipeline_id"].iloc[0])
            ratios[str(stage)] = _shrunk(rows, ratios[above])
            spreads[str(stage)] = _spread(rows["log"], spreads[above])
        logs = np.log(table["final"])
        means = {"": float(table["final"].mean()) if len(table) else 0.0}
        mean_spreads = {"": _spread(logs, 1.0)}
        for pipeline, rows in table.groupby("pipeline_id"):
            means[str(pipeline)] = float(rows["final"].mean())
            mean_spreads[str(pipeline)] = _spread(logs[rows.index], mean_spreads[""])
        return cls(ratios, spreads, means, mean_spreads)

    def expect(self, deals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Expected dollars if won, and the standard deviation of their logarithm."""
        pipeline = deals["pipeline_id"].astype(str).to_numpy()
        stage = pipeline + "/" + deals["stage_id"].astype(str).to_numpy()
        ratio, spread = _looked_up(self.ratios, stage, pipeline), _looked_up(self.spreads, stage, pipeline)
        mean, wide = (
            _looked_up(self.means, pipeline, pipeline),
            _looked_up(self.mean_spreads, pipeline, pipeline),
        )
        amount = pd.to_numeric(deals["amount"], errors="coerce").to_numpy(dtype="float64")
        known = amount > 0
        return np.where(known, np.nan_to_num(amount) * ratio, mean), np.where(known, spread, wide)

    def told(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))

    @classmethod
    def from_told(cls, told: dict[str, Any]) -> AmountModel:
        """Read what `told` wrote."""
        return cls(**told)


def _shrunk(rows: pd.DataFrame, above: float) -> float:
    return _ratio(
        rows["final"].sum(), rows["amount"].sum(), above, PSEUDO_DEALS * float(rows["amount"].mean())
    )


def _ratio(final: float, amount: float, above: float, pseudo: float) -> float:
    return float((final + above * pseudo) / (amount + pseudo)) if amount + pseudo > 0 else above


def _spread(logs: pd.Series, otherwise: float) -> float:
    return float(np.clip(logs.std(), 0.01, 3.0)) if len(logs) > 2 else otherwise


def _looked_up(values: dict[str, float], first: Any, second: Any) -> Floats:
    found = pd.Series(first).map(values)
    found = found.fillna(pd.Series(second).map(values)).fillna(values[""])
    return np.asarray(found.to_numpy(dtype="float64"))
