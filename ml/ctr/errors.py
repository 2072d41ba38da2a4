"""What can be wrong with the data or the settings a CTR model is asked to learn from."""

from ml.errors import PermanentModelError


class CtrTrainingError(PermanentModelError, ValueError):
    """Base of everything that training refuses."""


class TrainingDataInsufficient(CtrTrainingError):
    """Too little data; the message says how much there is, how much is needed, and where more comes from."""


class ModelFilesInvalid(CtrTrainingError):
    """A saved model cannot be read back: a file is missing, or of a form this code does not know."""


class LeakageFound(CtrTrainingError):
    """What a model is judged by would be known to it; the message names the ad, the day or the feature."""


class ParityFailed(CtrTrainingError):
    """The exported bundle does not predict what the model predicts; nothing is registered."""


class ContinuationRefused(CtrTrainingError):
    """There is no version to go on from, or not enough new rows; the message says which."""


class NothingNewer(ContinuationRefused):
    """The version has learnt all rows there are: nothing is left to judge an update by."""
