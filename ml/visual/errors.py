"""What can go wrong with videos and visual models."""

from ml.errors import PermanentModelError, TransientModelError


class ManifestUnusable(PermanentModelError):
    """The list of videos, or what else the job was told, cannot be read."""


class VisualModelUnusable(PermanentModelError):
    """The weights, or what describes them, cannot be used."""


class VideoUnusable(PermanentModelError):
    """A video cannot be analysed, now or ever; the message is the reason in one sentence."""


class VideoNotFinished(TransientModelError):
    """A video could not be analysed this time: it took too long, its file could not be fetched."""


class HeadNotOffered(PermanentModelError):
    """A head is not better than knowing nothing, or there are too few labels to tell."""


class Stopped(Exception):
    """The job was told to stop; what is done is kept."""
