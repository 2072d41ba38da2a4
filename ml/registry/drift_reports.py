"""Drift reports as MLflow artefacts: one run for each model and day, found again by its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.registry.connect import experiment_id
from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_EXPERIMENT = "drift"
_PAGE = "drift_report.html"


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
        client.set_terminated(run_id, "FINISHED")
    return KeptReport(experiment, run_id, f"runs:/{run_id}/{_PAGE}" if html is not None else "")
