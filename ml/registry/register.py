"""Log a training and register its model, so that a process killed anywhere in between leaves nothing double.

The order is: run, its contents, the model's files, the run finished, the version, its alias. A version exists
only when everything before it does. What an earlier attempt with the same key left without a version is
deleted and made again; a version without its alias gets it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.registry.connect import experiment_id
from ml.registry.errors import registry_errors
from ml.registry.registrable import Registrable
from ml.registry.versions import (
    CHALLENGER,
    CHAMPION,
    RegisteredVersion,
    complete_aliases,
    has_versions,
    version_of_training,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KEY = "training_key"


def find_registered(client: MlflowClient, model_name: str, key: str) -> RegisteredVersion | None:
    """The version this training made, with aliases that were still owed given first; None where it made none.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    complete_aliases(client, model_name)
    return version_of_training(client, model_name, key)


def register(client: MlflowClient, record: Registrable) -> RegisteredVersion:
    """Log `record` and register its model: the first version is champion, later ones challenger.

    A later version that does not pass its gates is registered without an alias: it is kept to be looked at.

    A training that is registered already is found by its key and left as it is. Two processes must not
    register the same model at once: the caller holds a lock.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    found = find_registered(client, record.model_name, record.key)
    if found is not None:
        return found
    experiment = experiment_id(client, record.model_name)
    _delete_leftovers(client, experiment, record.key)
    _make_registered_model(client, record)
    with registry_errors(f"log the training of '{record.model_name}'"):
        run_id, model_id = _log(client, experiment, record)
    alias = CHALLENGER if has_versions(client, record.model_name) else CHAMPION
    withheld = alias == CHALLENGER and bool(record.failed_gates)
    with registry_errors(f"make a version of '{record.model_name}'"):
        client.create_model_version(
            record.model_name,
            source=f"models:/{model_id}",
            model_id=model_id,
            run_id=run_id,
            description=record.card(),
            tags={
                **record.facts,
                _KEY: record.key,
                "alias_wanted": "" if withheld else alias,
                "alias_state": "withheld" if withheld else "pending",
            },
        )
    made = find_registered(client, record.model_name, record.key)
    if made is None:
        raise RuntimeError(
            f"the version of '{record.model_name}' that was just made cannot be found by its key"
        )
    return made


def _log(client: MlflowClient, experiment: str, record: Registrable) -> tuple[str, str]:
    """Write everything about the training; returns the run and the logged model."""
    from mlflow.entities import Metric, Param, RunTag

    card = record.card()
    tags = {
        **record.facts,
        _KEY: record.key,
        "mlflow.source.name": record.family.dag_id,
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": record.facts["git_commit"],
        "mlflow.note.content": card,
    }
    run = client.create_run(
        experiment, tags=tags, run_name=f"{record.model_name} {record.facts['trained_for']}"
    )
    run_id = run.info.run_id
    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in record.metrics.items()],
        params=[Param(name, str(value)) for name, value in record.params.items()],
        tags=[RunTag("split", record.split)],
    )
    client.log_inputs(run_id, datasets=[_dataset(record)])
    client.log_text(run_id, card, "model_card.md")
    for name, content in record.documents().items():
        client.log_dict(run_id, content, name)
    for name, figure in record.figures().items():
        client.log_figure(run_id, figure, name)
    logged = client.create_logged_model(
        experiment,
        name=record.model_name,
        source_run_id=run_id,
        tags={_KEY: record.key},
        model_type=record.family.kind,
    )
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "model"
        record.write_model(files, logged.model_id, run_id)
        client.log_model_artifacts(logged.model_id, str(files))
    client.finalize_logged_model(logged.model_id, "READY")
    client.set_terminated(run_id, "FINISHED")
    return run_id, logged.model_id


def _dataset(record: Registrable) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    period = f"{record.facts['window_start']} to {record.facts['window_end']}"
    return DatasetInput(
        dataset=Dataset(
            name=f"{record.family.data_name}, {record.scope}, "
            f"{period if record.facts['window_start'] else 'no dates'}",
            digest=record.facts["data_fingerprint"][:36],
            source_type="nightshift",
            source=record.family.data_source,
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )


def _delete_leftovers(client: MlflowClient, experiment: str, key: str) -> None:
    with registry_errors("clear what an earlier attempt left"):
        for model in client.search_logged_models([experiment], filter_string=f"tags.{_KEY} = '{key}'"):
            client.delete_logged_model(model.model_id)
        for run in client.search_runs([experiment], filter_string=f"tags.{_KEY} = '{key}'"):
            client.delete_run(run.info.run_id)


def _make_registered_model(client: MlflowClient, record: Registrable) -> None:
    from mlflow.exceptions import MlflowException

    with registry_errors(f"make registered model '{record.model_name}'"):
        try:
            client.create_registered_model(record.model_name, description=record.family.description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
