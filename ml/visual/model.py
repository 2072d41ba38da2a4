"""The network that turns frames into embeddings, as files: what it is, and its weights.

A visual model is a folder with `visual_model.json` and `weights.safetensors`, and `heads.json` where
heads were trained (`ml.visual.heads`). Its digest names all of them and is part of the key of every
result. The digest is known without PyTorch: a night in which everything is known already loads no network.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.visual.errors import VisualModelUnusable
from ml.visual.torchvision_stub import timm

if TYPE_CHECKING:
    from torch import nn

DESCRIPTION, WEIGHTS, HEADS = "visual_model.json", "weights.safetensors", "heads.json"
NO_MODEL = "none"


@dataclass(frozen=True)
class Architecture:
    """What is built before the weights are loaded.

    Attributes:
        name: as timm knows it, such as `resnet18` or `vit_base_patch32_clip_224`.
        size: side of the input, pixels.
        mean, std: of the channels the weights were trained with, 0 to 1.
        dimensions: length of an embedding.
    """

    name: str
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    dimensions: int


@dataclass(frozen=True)
class VisualModel:
    """A folder with a visual model, not loaded yet."""

    folder: Path

    @cached_property
    def architecture(self) -> Architecture:
        """What it is.

        Raises:
            VisualModelUnusable: it is not described, or wrongly.
        """
        try:
            values = json.loads((self.folder / DESCRIPTION).read_text())
            return Architecture(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VisualModelUnusable(
                f"visual model {self.folder.name}: {DESCRIPTION} cannot be used ({type(error).__name__}: "
                f"{error}); write it with ml.visual.model.save_model"
            ) from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the description, the weights and the heads.

        Raises:
            VisualModelUnusable: the weights are missing.
        """
        told = hashlib.sha256(json.dumps(asdict(self.architecture), sort_keys=True).encode())
        if not (self.folder / WEIGHTS).is_file():
            raise VisualModelUnusable(f"visual model {self.folder.name} has no {WEIGHTS}")
        for name in (WEIGHTS, HEADS):
            if (self.folder / name).is_file():
                told.update(name.encode())
                told.update(file_digest(self.folder / name).encode())
        return told.hexdigest()

    def network(self) -> nn.Module:
        """The network with its weights, on the CPU, in fp32.

        Raises:
            VisualModelUnusable: timm does not know it, or the weights are another network's.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        known = self.architecture
        try:
            network = timm().create_model(known.name, pretrained=False, num_classes=0)
            network.load_state_dict(load_file(self.folder / WEIGHTS))
        except (RuntimeError, SafetensorError, OSError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise VisualModelUnusable(
                f"visual model {self.folder.name}: {WEIGHTS} does not fit {known.name}: {said}"
            ) from error
        return network.eval().requires_grad_(False)


def save_model(folder: Path, architecture: Architecture, network: Any) -> VisualModel:
    """Write a timm network (made with `num_classes=0`) and what it is into `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).write_text(json.dumps(asdict(architecture), indent=2, sort_keys=True) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS)
    return VisualModel(folder)


@contextmanager
def find_model(where: str | None) -> Iterator[VisualModel | None]:
    """The model at a path, or at an address of MLflow such as `models:/visual@champion`; None without one.

    MLflow's address is taken from MLFLOW_TRACKING_URI.

    Raises:
        VisualModelUnusable: there is none.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    if where is None:
        yield None
    elif "://" not in where and not where.startswith(("models:/", "runs:/")):
        yield _in(Path(where), where)
    elif where.startswith("file://"):
        yield _in(Path(where.removeprefix("file://")), where)
    else:
        from mlflow.artifacts import download_artifacts

        from ml.registry.errors import registry_errors

        with tempfile.TemporaryDirectory() as folder:
            with registry_errors(f"fetch {where}"):
                fetched = Path(download_artifacts(artifact_uri=where, dst_path=folder))
            yield _in(fetched, where)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in(folder: Path, where: str) -> VisualModel:
    found = sorted(folder.rglob(DESCRIPTION))
    if not found:
        raise VisualModelUnusable(
            f"{where} holds no visual model: there is no {DESCRIPTION} in it; see docs/visual.md"
        )
    return VisualModel(found[0].parent)
