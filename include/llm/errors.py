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


class ResultsCutShort(TransientError):
    """The download of results broke off. What came is stored; the next attempt goes on from there."""
