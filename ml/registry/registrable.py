"""What `ml.registry.register` needs of a finished training, whatever the model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ModelFamily:
    """What all versions of a kind of model have in common.

    Attributes:
        kind: a short name of it, MLflow's model type.
        dag_id: what trains it.
        description: of the registered model, a sentence.
        data_name, data_source: what it learns from, in words and as an asset.
    """

    kind: str
    dag_id: str
    description: str
    data_name: str
    data_source: str


class Registrable(Protocol):
    """A finished training, ready to be logged and registered.

    `facts` become tags and must hold window_start, window_end (empty without dates), data_fingerprint,
    git_commit and trained_for. A training with `failed_gates` does not become challenger.
    """

    @property
    def key(self) -> str: ...

    @property
    def model_name(self) -> str: ...

    @property
    def scope(self) -> str: ...

    @property
    def metrics(self) -> Mapping[str, float]: ...

    @property
    def params(self) -> Mapping[str, float | int | str]: ...

    @property
    def facts(self) -> Mapping[str, str]: ...

    @property
    def split(self) -> str: ...

    @property
    def failed_gates(self) -> tuple[str, ...]: ...

    @property
    def family(self) -> ModelFamily: ...

    def card(self) -> str:
        """The model card, Markdown."""

    def documents(self) -> Mapping[str, dict[str, object]]:
        """What is logged as JSON, by file name."""

    def figures(self) -> Mapping[str, Figure]:
        """What is logged as a picture, by file name."""

    def write_model(self, folder: Path, model_id: str, run_id: str) -> None:
        """Write the model as an MLflow pyfunc into `folder`, which does not exist yet."""
