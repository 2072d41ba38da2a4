"""The two kinds of failure the science knows, for whoever decides about retries.

`ml` cannot import `include.errors`, so it has a pair of its own with the same meaning.
"""


class ModelWorkError(Exception):
    """Base of all errors `ml` raises on purpose. The message says what, where and what to do."""


class PermanentModelError(ModelWorkError):
    """Trying again cannot help: the data or the request is wrong."""


class TransientModelError(ModelWorkError):
    """Trying again may help: a service did not answer."""
