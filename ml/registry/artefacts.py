"""Files of MLflow runs, fetched to a folder: memory holds a piece at a time."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ml.registry.errors import RegistryRefused, registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_OF_RUN = re.compile(r"runs:/(?P<run>[0-9a-zA-Z]{1,64})/(?P<path>[\w.-]+(?:/[\w.-]+)*)")


class ArtefactMissing(RegistryRefused):
    """The run is there no more, or has no such file, or MLflow's store lost it."""


class ArtefactTooLarge(RegistryRefused):
    """The file is larger than what was asked for."""


def fetch_artefact(client: MlflowClient, uri: str, folder: Path, *, at_most_bytes: int) -> Path:
    """Fetch one file of a run.

    Args:
        client: of the MLflow that has it.
        uri: such as `runs:/0a1b2c/drift_report.html`.
        folder: where to put it.
        at_most_bytes: larger ones are not fetched.

    Returns:
        Where it is now.

    Raises:
        ArtefactMissing, ArtefactTooLarge: see there.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
        ValueError: the address is none of a run's file.
    """
    from mlflow.exceptions import MlflowException

    found = _OF_RUN.fullmatch(uri)
    if found is None or ".." in found["path"].split("/"):
        raise ValueError(f"{uri!r} is no file of an MLflow run: it would begin with runs:/ and the run's id")
    run_id, path = found["run"], PurePosixPath(found["path"])
    parent = None if path.parent == PurePosixPath() else str(path.parent)
    gone = f"run {run_id} of MLflow has no file {path}"
    with registry_errors(f"fetch {uri}"):
        try:
            listed = next((f for f in client.list_artifacts(run_id, parent) if f.path == str(path)), None)
            if listed is None or listed.is_dir:
                raise ArtefactMissing(gone)
            if (listed.file_size or 0) > at_most_bytes:
                raise ArtefactTooLarge(
                    f"{uri} has {listed.file_size:,} bytes, at most {at_most_bytes:,} are fetched"
                )
            return Path(client.download_artifacts(run_id, str(path), str(folder)))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise ArtefactMissing(gone) from error
            raise
