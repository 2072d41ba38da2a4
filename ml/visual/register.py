"""Puts a visual model into MLflow's registry, where the job finds it as `models:/visual@champion`.

    python -m ml.visual.register --model FOLDER --tracking-uri URI [--name visual] [--alias champion]

A model whose digest is registered already keeps its version; only the alias moves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml.errors import ModelWorkError
from ml.registry.connect import connect, experiment_id
from ml.registry.errors import registry_errors
from ml.visual.model import VisualModel

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DIGEST, _FILES = "visual_digest", "visual_model"


def register_visual_model(client: MlflowClient, model: VisualModel, name: str, alias: str | None) -> int:
    """Register a model.

    Args:
        alias: given to its version, taken from whichever had it; None gives none.

    Returns:
        its version.

    Raises:
        VisualModelUnusable: it is not whole.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    digest, known = model.digest, model.architecture
    with registry_errors(f"register visual model '{name}'"):
        version = _version_of(client, name, digest)
        if version is None:
            run = client.create_run(experiment_id(client, name), run_name=known.name)
            client.log_param(run.info.run_id, "architecture", known.name)
            client.log_param(run.info.run_id, "dimensions", known.dimensions)
            client.log_artifacts(run.info.run_id, str(model.folder), _FILES)
            client.set_terminated(run.info.run_id)
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name, description="Frames of videos to embeddings.")
            made = client.create_model_version(
                name, f"{run.info.artifact_uri}/{_FILES}", run.info.run_id, tags={_DIGEST: digest}
            )
            version = int(made.version)
        if alias is not None:
            client.set_registered_model_alias(name, alias, str(version))
    return version


def main(arguments: Sequence[str] | None = None) -> int:
    """Register a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ml.visual.register")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tracking-uri", required=True)
    parser.add_argument("--name", default="visual")
    parser.add_argument("--alias", default="champion")
    given = parser.parse_args(arguments)
    try:
        client = connect(given.tracking_uri)
        version = register_visual_model(client, VisualModel(given.model), given.name, given.alias)
    except ModelWorkError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    print(f"{given.name} version {version}, alias {given.alias}")  # noqa: T201
    return 0


def _version_of(client: MlflowClient, name: str, digest: str) -> int | None:
    found = client.search_model_versions(f"name = '{name}'")
    return next((int(each.version) for each in found if each.tags.get(_DIGEST) == digest), None)


if __name__ == "__main__":
    sys.exit(main())
