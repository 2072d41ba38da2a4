"""Drift: windows, measures, the verdict and the decision. The picture is in `ml.drift.report`."""

from ml.drift.assessment import ColumnDrift, DriftAssessment, assess_drift, cannot_tell
from ml.drift.settings import Decision, DriftSettings, Ladder, Severity
from ml.drift.windows import (
    WatchedColumn,
    Window,
    watched_ad_columns,
    windows_by_campaign,
    windows_by_date,
)

__all__ = [
    "ColumnDrift",
    "Decision",
    "DriftAssessment",
    "DriftSettings",
    "Ladder",
    "Severity",
    "WatchedColumn",
    "Window",
    "assess_drift",
    "cannot_tell",
    "watched_ad_columns",
    "windows_by_campaign",
    "windows_by_date",
]
