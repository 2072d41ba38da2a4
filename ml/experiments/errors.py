"""What can be wrong with an experiment before any statistics."""

from __future__ import annotations

from ml.errors import PermanentModelError


class ExperimentDataInvalid(PermanentModelError):
    """The arrays of an experiment do not fit together, or hold what no loss can be."""


class ExperimentSettingsInvalid(PermanentModelError):
    """A setting lies outside what it may be; the message names it."""
