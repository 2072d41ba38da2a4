"""What can go wrong with the CRM, sorted by whether trying again helps."""

from datetime import datetime

from include.errors import PermanentError, TransientError


class CrmNotConnected(PermanentError):
    """Connection `hubspot_default` lacks something without which nothing is read."""


class CrmTokenRefused(PermanentError):
    """HubSpot does not accept the token: renew it in connection `hubspot_default`."""


class CrmRequestRefused(PermanentError):
    """HubSpot understood the request and will not serve it: a missing scope, an unknown object."""


class CrmDailyLimit(PermanentError):
    """The portal's calls of today are used up, so nothing helps before `resumes_at`; progress is kept."""

    def __init__(self, message: str, resumes_at: datetime) -> None:
        super().__init__(message)
        self.resumes_at = resumes_at


class CrmStandsStill(PermanentError):
    """For days no run has read the CRM to its end; what was read is kept."""


class CrmDirectoryUnread(TransientError):
    """Deals were to be read before the pipelines and properties they name."""


class CrmBusy(TransientError):
    """HubSpot limits our calls, or failed by itself. `retry_after_s` is the pause it asks for, if it does."""

    def __init__(self, message: str, retry_after_s: float | None = None, policy: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.policy = policy


class CrmUnreachable(TransientError):
    """No answer, or half of one: a time-out, a dropped connection, an unreadable body."""


class FunnelRefused(PermanentError):
    """An exported funnel cannot be imported; the message lists every problem with its file and row."""
