"""The two kinds of failure that matter to whoever retries.

Every room derives its own small family from these, and the retry policy of the DAGs
(`plugins/nightshift/policy.py`) decides by them alone: a `PermanentError` ends the task at once,
everything else is tried again.
"""


class NightshiftError(Exception):
    """Base of all errors Nightshift raises on purpose. The message says what, where and what to do."""


class PermanentError(NightshiftError):
    """Trying again cannot help: bad input, a refused credential, a broken invariant."""


class TransientError(NightshiftError):
    """Trying again may help: a vendor is busy, a service is restarting, a response was lost."""
