"""What can be wrong with a training or a forecast of the pipeline."""

from ml.errors import PermanentModelError


class TooFewDeals(PermanentModelError):
    """There is not enough to learn from, or to be judged by; the message says what there is and is
    needed.
    """


class PipelineModelInvalid(PermanentModelError):
    """A model's files were written by another form of this code, or are damaged."""


class DealsLeak(PermanentModelError):
    """A feature of a deal changes when only what happened later does."""
