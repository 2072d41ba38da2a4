"""What can go wrong with language-model work, by what to do about it."""

from include.errors import PermanentError, TransientError


class RequestInvalid(PermanentError):
    """A question that cannot be stored or asked; the message names the field."""


class PriceUnknown(PermanentError):
    """No price in `thresholds.yaml` for this provider, model and date: nothing is sent or booked unpriced."""


class AnswerInvalid(PermanentError):
    """The model answered, but not in the form that was asked for. The request has failed, and is paid for."""


class VendorRefused(PermanentError):
    """The vendor says no, and will again: a wrong key, no credit, a body it does not accept."""


class VendorNotConnected(PermanentError):
    """Work is queued for a vendor whose connection is missing or cannot be used."""


class VendorSaidNo(PermanentError):
    """The vendor certainly did not take a batch.

    Attributes:
        about_the_batch: it will never take this one; otherwise it takes nothing from us now.
        passing: asking again later may help.
    """

    def __init__(self, message: str, *, about_the_batch: bool, passing: bool) -> None:
        super().__init__(message)
        self.about_the_batch = about_the_batch
        self.passing = passing


class NoUsableAnswer(TransientError):
    """A batch was posted and what came back does not say whether it was taken."""


class BatchRefused(VendorRefused):
    """The vendor does not take one batch; its requests are queued again."""


class BatchUnknown(VendorRefused):
    """The vendor does not know a batch: it was deleted, or key or host are another's."""


class VendorBusy(TransientError):
    """The vendor is overloaded, limits our rate, or cannot be reached. Nothing was changed."""


class BatchSubmissionUnknown(TransientError):
    """A batch was posted and no answer came. The next attempt looks for it before it posts again."""


class BatchNotEnded(TransientError):
    """Results were asked for before the vendor was done."""


class ResultsGone(PermanentError):
    """The vendor has thrown the results away."""


class ResultsCutShort(TransientError):
    """The download of results broke off. What came is stored; the next attempt goes on from there."""


class CacheUnavailable(TransientError):
    """The cache does not answer, or not in time: the question goes to the model."""


class EmbedderUnavailable(PermanentError):
    """What turns texts into vectors is not installed or not configured."""


class CouncilWithoutVerdict(TransientError):
    """Too few members of the AI council answered; the message says why."""
