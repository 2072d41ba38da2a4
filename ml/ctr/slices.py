"""The same figures for parts of the rows that people ask about: niche, placement, format, age of the ad.

A model that is right on average can be wrong for one niche. Placements are cells of a row: the model predicts
an ad's day as a whole, so what its placements show is how far they lie from that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.ctr.evaluation import calibration, normalized_entropy, predicted_actual_ratio
from ml.features import FeatureFrame

_AGES = ((0, 3, "0-2 days"), (3, 7, "3-6 days"), (7, 28, "7-27 days"), (28, np.inf, "28 days and more"))
_LEAST_CLICKS = 20


@dataclass(frozen=True)
class Slice:
    """Figures of some of the rows.

    Attributes:
        by, value: such as `niche` and `fitness`.
        rows, clicks: how many.
        normalized_entropy, predicted_actual_ratio, calibration_error_pp: as in `ml.ctr.evaluation`; None
            where there are fewer than 20 clicks, which say nothing.
    """

    by: str
    value: str
    rows: int
    clicks: int
    normalized_entropy: float | None
    predicted_actual_ratio: float | None
    calibration_error_pp: float | None


def slices(predicted: np.ndarray, rows: FeatureFrame) -> tuple[Slice, ...]:
    """Figures by niche, format and age of the ad, where the rows know them.

    Args:
        predicted: (n,) click rates.
        rows: n rows with their outcomes.
    """
    return tuple(
        _slice(by, value, predicted[mask], rows.clicks[mask], rows.impressions[mask])
        for by, value, mask in _masks(rows)
    )


def placement_slices(predicted: np.ndarray, rows: FeatureFrame, cells: pd.DataFrame) -> tuple[Slice, ...]:
    """Figures by placement.

    Args:
        predicted: (n,) click rates.
        rows: n rows.
        cells: account_id, ad_id, metric_date, placement, impressions, clicks: the rows' placements.
    """
    if rows.dates is None or cells.empty:
        return ()
    known = pd.DataFrame({"group": rows.groups, "day": rows.dates.astype("int64"), "predicted": predicted})
    told = pd.DataFrame(
        {
            "group": cells["account_id"].astype(str) + "/" + cells["ad_id"].astype(str),
            "day": pd.to_datetime(cells["metric_date"]).to_numpy().astype("datetime64[D]").astype("int64"),
            "placement": cells["placement"].astype(str),
            "clicks": np.minimum(cells["clicks"], cells["impressions"]),
            "impressions": cells["impressions"],
        }
    )
    joined = told[told["impressions"] > 0].merge(known, on=["group", "day"])
    return tuple(
        _slice(
            "placement",
            str(placement),
            part["predicted"].to_numpy(),
            part["clicks"].to_numpy(),
            part["impressions"].to_numpy(),
        )
        for placement, part in joined.groupby("placement", sort=True)
    )


def _masks(rows: FeatureFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    for name in ("niche", "format"):
        if name in rows.X:
            values = (
                rows.X[name].astype("object").map(lambda value: "unknown" if pd.isna(value) else str(value))
            )
            for value in sorted(set(values)):
                yield name, value, (values == value).to_numpy()
    if "ad_age_days" in rows.X:
        age = rows.X["ad_age_days"].to_numpy("float64")
        for low, high, label in _AGES:
            mask = (age >= low) & (age < high)
            if mask.any():
                yield "age of ad", label, mask


def _slice(by: str, value: str, predicted: np.ndarray, clicks: np.ndarray, impressions: np.ndarray) -> Slice:
    seen = int(clicks.sum())
    if seen < _LEAST_CLICKS:
        return Slice(by, value, len(predicted), seen, None, None, None)
    return Slice(
        by,
        value,
        len(predicted),
        seen,
        normalized_entropy(predicted, clicks, impressions),
        predicted_actual_ratio(predicted, clicks, impressions),
        calibration(predicted, clicks, impressions).error_pp,
    )
