"""What can go wrong with Meta, sorted by whether trying again helps."""

from __future__ import annotations

from datetime import datetime

from include.errors import PermanentError, TransientError


class MetaTokenRefused(PermanentError):
    """Meta does not accept the access token: renew it in connection `meta_ads_default`."""


class MetaRequestRefused(PermanentError):
    """Meta understood the request and will not serve it: an unknown account, a missing permission."""


class MetaTooMuchData(MetaRequestRefused):
    """Meta will not work on so much at once: ask for fewer days."""


class BreakdownRefused(PermanentError):
    """A breakdown that Meta would refuse; it is in `ads.breakdowns` of thresholds.yaml."""


class MetaBusy(TransientError):
    """Meta limits our calls, or failed by itself. `retry_after_s` is the pause it asks for, if it does."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MetaThrottled(MetaBusy):
    """Our calls are used up for longer than a task should wait.

    Attributes:
        goes_on_at: when Meta will answer again, as far as it tells.
        everywhere: for every account, not only the one that was asked for.
    """

    def __init__(self, message: str, retry_after_s: float, *, goes_on_at: datetime, everywhere: bool) -> None:
        super().__init__(message, retry_after_s)
        self.goes_on_at = goes_on_at
        self.everywhere = everywhere


class MetaUnreachable(TransientError):
    """No answer, or half of one: a time-out, a dropped connection, an unreadable body."""


class ReportUnfinished(TransientError):
    """Meta did not finish a report in the time a task has for it."""


class InsightUnreadable(PermanentError):
    """A row of Insights lacks a field it must have, or a number is none."""


class AccountsFailed(PermanentError):
    """Some accounts could not be loaded for reasons that stay; the others were."""


class AccountsUnavailable(TransientError):
    """Some accounts could not be loaded for a passing reason; the others were."""


class ExportRefused(PermanentError):
    """An exported file cannot be imported; the message lists every problem with its row and column."""
