"""What model work refuses before the science begins."""

from include.errors import PermanentError


class NoPerformanceRows(PermanentError):
    """The scope has no rows in the window; the message says which and where rows come from."""
