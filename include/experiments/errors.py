"""Why an experiment cannot be started or stopped."""

from include.errors import PermanentError


class ExperimentRefused(PermanentError):
    """What was asked makes no sense now; the message says why and what to do."""


class ExperimentRuns(ExperimentRefused):
    """The model has an experiment that runs."""


class NothingToTest(ExperimentRefused):
    """No version is left to be tested against the champion."""
