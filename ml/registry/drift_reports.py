"""Drift reports as MLflow artefacts: one run for each model and day, found again by its key."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.registry.artefacts import ArtefactMissing, fetch_artefact
from ml.registry.connect import experiment_id
from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXPERIMENT = "drift"
_PAGE = "drift_report.html"
_REFERENCES = "drift_reference"
# A reference is some megabytes (12 for 30 columns and 20 niches); what is far larger is none of ours.
_LARGEST = 256_000_000


@dataclass(frozen=True)
class KeptReport:
    """Where a report is.

    Attributes:
        experiment_id, run_id: of MLflow.
        html_uri: artefact URI of the page, empty where there is none.
    """

    experiment_id: str
    run_id: str
    html_uri: str


def log_drift_report(
    client: MlflowClient,
    *,
    key: str,
    title: str,
    facts: dict[str, str],
    numbers: dict[str, Any],
    evidently: dict[str, Any] | None,
    html: str | None,
    plot: bytes | None = None,
) -> KeptReport:
    """Keep one report. The same key again overwrites it.

    Args:
        client: of the MLflow to write to.
        key: model, scope and day in one text.
        title: name of the run for people.
        facts: become tags.
        numbers: our figures.
        evidently: Evidently's, where it drew any.
        html: Evidently's page, where there is one.
        plot: the most important columns, as PNG.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    experiment = experiment_id(client, _EXPERIMENT)
    with registry_errors(f"keep drift report '{title}'"):
        found = client.search_runs([experiment], filter_string=f"tags.drift_key = '{key}'", max_results=1)
        run_id = (
            found[0].info.run_id
            if found
            else client.create_run(experiment, tags={"drift_key": key}, run_name=title).info.run_id
        )
        for name, value in facts.items():
            client.set_tag(run_id, name, value)
        client.log_dict(run_id, numbers, "drift.json")
        if evidently is not None:
            client.log_dict(run_id, evidently, "evidently.json")
        if html is not None:
            client.log_text(run_id, html, _PAGE)
        if plot is not None:
            _log_bytes(client, run_id, plot, "", "drift.png")
        client.set_terminated(run_id, "FINISHED")
    return KeptReport(experiment, run_id, f"runs:/{run_id}/{_PAGE}" if html is not None else "")


def keep_reference(client: MlflowClient, run_id: str, name: str, content: bytes) -> None:
    """Keep a summed-up reference with the run that made the model version.

    Args:
        run_id: of the version.
        name: of the reference: its days, and whatever else makes it another one.
        content: of the file.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    with registry_errors(f"keep drift reference '{name}'"):
        _log_bytes(client, run_id, content, _REFERENCES, f"{name}.npz")


def kept_reference(client: MlflowClient, run_id: str, name: str) -> bytes | None:
    """What `keep_reference` kept under a name; None where there is none.

    Raises:
        ArtefactTooLarge: what is there is no reference.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    uri = f"runs:/{run_id}/{_REFERENCES}/{name}.npz"
    with tempfile.TemporaryDirectory() as folder:
        try:
            return fetch_artefact(client, uri, Path(folder), at_most_bytes=_LARGEST).read_bytes()
        except ArtefactMissing:
            return None


def _log_bytes(client: MlflowClient, run_id: str, content: bytes, folder: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as local:
        file = Path(local) / name
        file.write_bytes(content)
        client.log_artifact(run_id, str(file), folder or None)
