"""The settings of drift from the thresholds file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.config.drift import DriftThresholds, QualityThresholds
    from ml.drift.quality import QualitySettings
    from ml.drift.settings import DriftSettings, Ladder


def drift_settings(values: DriftThresholds) -> DriftSettings:
    """What an assessment needs."""
    from ml.drift.settings import (
        Decision,
        DriftSettings,
        Evidence,
        Ladder,
        RetrainSettings,
        Severity,
    )

    ladders = {
        kind: Ladder(**getattr(values, kind).model_dump())
        for kind in ("features", "prediction", "outcomes", "cost")
    }
    at_most = {
        name: Severity(getattr(values, name))
        for name in ("harmless_at_most", "measured_at_most", "niche_at_most", "alert_from")
    }
    limits = values.retrain
    return DriftSettings(
        min_rows=values.min_rows,
        min_clusters=values.min_clusters,
        psi_drifted=values.psi_drifted,
        evidence=Evidence(**values.evidence.model_dump()),
        actions={Severity(name): Decision(action) for name, action in values.actions.model_dump().items()},
        retrain=RetrainSettings(limits.least_rows, limits.cooldown_days, limits.budget),
        **ladders,
        **at_most,
    )


def quality_settings(values: QualityThresholds) -> QualitySettings:
    """When something is wrong with the data."""
    from ml.drift.quality import QualitySettings

    return QualitySettings(**values.model_dump(exclude={"broken"}))


def broken_ladder(values: QualityThresholds) -> Ladder:
    """How bad it is that so much more of a column is missing or unusable, or so many rows did not come."""
    from ml.drift.settings import Ladder

    return Ladder(**values.broken.model_dump())
