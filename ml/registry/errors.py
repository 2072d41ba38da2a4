"""What can go wrong with MLflow, sorted by whether trying again helps."""

from collections.abc import Iterator
from contextlib import contextmanager

from ml.errors import PermanentModelError, TransientModelError

_PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "CANCELLED", "ABORTED"}


class RegistryUnavailable(TransientModelError):
    """MLflow did not answer, or answered that it cannot right now."""


class RegistryRefused(PermanentModelError):
    """MLflow answered that it will not: a wrong name, a missing permission, something that does not exist."""


class ModelNameInvalid(PermanentModelError, ValueError):
    """A scope cannot be made into the name of a registered model."""


@contextmanager
def registry_errors(attempt: str) -> Iterator[None]:
    """Turn MLflow's errors into ours; `attempt` says in a few words what was tried.

    Raises:
        RegistryUnavailable: no answer, a 5xx, or too many requests.
        RegistryRefused: any other answer that is an error.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = " ".join(str(error).split())[:300]
        status = getattr(error, "get_http_status_code", lambda: 500)()
        if error.error_code in _PASSING or status >= 500 or status == 429:
            raise RegistryUnavailable(f"MLflow could not {attempt}: {said}; it is tried again") from error
        raise RegistryRefused(f"MLflow refused to {attempt}: {said}") from error
    except OSError as error:
        raise RegistryUnavailable(
            f"MLflow could not be reached to {attempt} ({type(error).__name__}); it is tried again"
        ) from error
