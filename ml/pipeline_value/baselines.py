"""The two rules people use today, to be compared with: the CRM's stage table, and last month's close
rate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline import Histories

RECENT_DAYS = 30


def stage_table_value(deals: pd.DataFrame) -> npt.NDArray[np.float64]:
    """(n,) dollars still to come: the amount times what the CRM's table says of the stage; closed deals
    0.
    """
    value = deals["probability"].fillna(0.0) * deals["amount"].fillna(0.0)
    return np.where(deals["is_open"], value, 0.0)


def last_month_value(deals: pd.DataFrame, histories: Histories, at: np.datetime64) -> npt.NDArray[np.float64]:
    """(n,) dollars still to come: the amount times the share won of what the pipeline closed in 30 days."""
    closes = histories.closes
    recent = closes[closes["closed_at"].to_numpy() > at - np.timedelta64(RECENT_DAYS, "D")]
    everything = float(recent["won"].mean()) if len(recent) else 0.0
    rate = deals["pipeline_id"].map(recent.groupby("pipeline_id")["won"].mean()).fillna(everything)
    return np.where(deals["is_open"], rate * deals["amount"].fillna(0.0), 0.0)
