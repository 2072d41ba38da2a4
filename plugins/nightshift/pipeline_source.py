"""Where the pipeline's model gets its rows and settings from: the database and the thresholds file."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame
    from sqlalchemy import Engine

    from include.config.pipeline_value import PipelineValueThresholds
    from ml.pipeline_value import PipelineSettings

FAMILY = "pipeline_value"
SCOPE = "all"


def with_deals(rows: DataFrame, wanted: bool, *, engine: Engine) -> DataFrame:
    """Rows of ads and days with what had come of the ads' deals before each day.

    Where that is not wanted, without deals, and without days they are left as they are: no column is made up.

    Raises:
        CrmInputInvalid: a table holds what cannot be right.
    """
    import pandas as pd

    from include.db.pipeline import read_frames
    from ml.features.pipeline import prepare
    from ml.features.pipeline_daily import pipeline_daily

    if not wanted or rows["metric_date"].isna().any():
        return rows
    frames = read_frames(engine)
    if frames.deals.empty:
        return rows
    rows = rows.reset_index(drop=True)
    return pd.concat([rows, pipeline_daily(prepare(frames), rows)], axis=1)


def beginning_of(day: date) -> np.datetime64:
    """The moment a day's run knows everything up to: its first midnight, in UTC."""
    from ml.features.pipeline_frames import naive

    return naive(day)


def pipeline_settings(values: PipelineValueThresholds) -> PipelineSettings:
    """The model's settings from the thresholds file."""
    from ml.pipeline_value import HazardSettings, PipelineGates, PipelineSettings

    own = values.model_dump(exclude={"hazard", "gates", "min_cell_deals", "min_reason_deals"})
    return PipelineSettings(
        **own,
        hazard=HazardSettings(**values.hazard.model_dump()),
        gates=PipelineGates(**values.gates.model_dump()),
    )
