"""The rows that a version has not learnt from: the only ones that can say whether another is better."""

from __future__ import annotations

import numpy as np

from ml.ctr.errors import ContinuationRefused, NothingNewer, TrainingDataInsufficient
from ml.ctr.settings import CtrSettings
from ml.ctr.training import Rival
from ml.features import FeatureFrame


def newer_rows(parent: Rival, features: FeatureFrame, settings: CtrSettings) -> np.ndarray:
    """(n,) mask of the rows after the parent's last day, checked to be enough.

    Raises:
        ContinuationRefused: the rows have no dates, or too few of them are newer.
        NothingNewer: the parent has learnt them all.
        TrainingDataInsufficient: the newer rows have no click.
    """
    if features.dates is None or parent.learnt_until is None:
        raise ContinuationRefused(
            "an export without dates has no newer rows: train in mode full after importing the newer export"
        )
    new = np.asarray(features.dates > np.datetime64(parent.learnt_until, "D"))
    if not new.any():
        raise NothingNewer(
            f"v{parent.version} has learnt these days already (up to {parent.learnt_until}): nothing newer "
            "to judge an update by"
        )
    if new.sum() < settings.incremental.min_rows:
        raise ContinuationRefused(
            f"{int(new.sum())} rows are newer than {parent.learnt_until}, the last day of "
            f"v{parent.version}; at least {settings.incremental.min_rows} are needed "
            "(ctr.incremental.min_rows in thresholds.yaml)"
        )
    if features.clicks[new].sum() == 0:
        raise TrainingDataInsufficient(
            f"none of the {int(new.sum())} rows newer than {parent.learnt_until} has a click: nothing can be "
            "learnt from them"
        )
    return new
