"""What can be wrong with the data or the settings a CTR model is asked to learn from."""

from ml.errors import PermanentModelError


class CtrTrainingError(PermanentModelError, ValueError):
    """Base of everything that training refuses."""


class TrainingDataInsufficient(CtrTrainingError):
    """Too little data; the message says how much there is, how much is needed, and where more comes from."""


class ModelFilesInvalid(CtrTrainingError):
    """A saved model cannot be read back: a file is missing, or of a form this code does not know."""
