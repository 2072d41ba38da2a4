"""What model work refuses before it begins."""

from include.errors import PermanentError, TransientError


class NoPerformanceRows(PermanentError):
    """The scope has no rows in the window; the message says which and where rows come from."""


class PromotionRequestInvalid(PermanentError):
    """Nobody can tell which promotion is meant; the message says what is wrong."""


class RedisUnavailable(TransientError):
    """Redis did not answer; the service computes what it would have found there."""
