"""Faster arithmetic, allowed only where it says the same as fp32.

Before bf16 or INT8 is used, probe pictures go through both networks. Each picture's two embeddings must point
the same way, and each picture must have the same nearest neighbours; otherwise fp32 is used and the summary
says so. The probes are drawn, always the same, so the answer depends on weights and device alone.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.visual.keys import Precision
from ml.visual.settings import Fidelity

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

PROBES = 64


@dataclass(frozen=True)
class Verdict:
    """What is used, and why.

    Attributes:
        cosine: the least of any probe; None where nothing was compared.
        overlap: mean share of common neighbours.
    """

    asked: str
    used: Precision
    why: str
    cosine: float | None = None
    overlap: float | None = None

    def to_values(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def probes(size: int) -> np.ndarray:
    """(64, size, size, 3) pictures of soft grounds, shapes and grain, the same each time."""
    import cv2

    dice = np.random.default_rng(20)
    pictures = np.empty((PROBES, size, size, 3), np.uint8)
    for picture in pictures:
        ground = dice.integers(
            0, 256, (int(dice.integers(2, 6)), int(dice.integers(2, 6)), 3), dtype=np.uint8
        )
        drawn = cv2.resize(ground, (size, size), interpolation=cv2.INTER_CUBIC)
        for _ in range(int(dice.integers(1, 7))):
            x, y, radius = (int(value) for value in dice.integers(0, size, 3))
            colour = tuple(int(value) for value in dice.integers(0, 256, 3))
            if dice.random() < 0.5:
                cv2.circle(drawn, (x, y), max(2, radius // 3), colour, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(drawn, (x, y), (x + radius // 2, y + radius // 3), colour, -1)
        grain = dice.normal(0, dice.uniform(0, 12), drawn.shape)
        picture[:] = np.clip(drawn + grain, 0, 255)
    return pictures


def compare(exact: np.ndarray, faster: np.ndarray, neighbours: int) -> tuple[float, float]:
    """Least cosine of rows, and mean share of common nearest neighbours.

    Args:
        exact, faster: (n, d) embeddings of the same pictures.

    >>> same = np.eye(4)
    >>> compare(same, same, 2)[0]
    1.0
    """
    mine, theirs = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (exact, faster))
    cosine = float((mine * theirs).sum(axis=1).min())
    few = min(neighbours, len(mine) - 1)
    nearest = []
    for rows in (mine, theirs):
        likeness = rows @ rows.T
        np.fill_diagonal(likeness, -np.inf)
        nearest.append(np.argsort(-likeness, axis=1, kind="stable")[:, :few])
    common = [len(np.intersect1d(a, b)) / few for a, b in zip(*nearest, strict=True)]
    return cosine, float(np.mean(common))


def judge(
    asked: Precision, exact: np.ndarray, faster: np.ndarray, settings: Fidelity, told: str | None = None
) -> Verdict:
    """Whether faster arithmetic may be used, given what both networks say of the probes.

    Args:
        told: what the verdict says was asked for; the precision itself by default.
    """
    cosine, overlap = (
        compare(exact, faster, settings.neighbours) if np.isfinite(faster).all() else (-1.0, 0.0)
    )
    passed = cosine >= settings.cosine and overlap >= settings.overlap
    against = (
        f"least cosine {cosine:.5f} (at least {settings.cosine}), common neighbours {overlap:.1%} "
        f"(at least {settings.overlap:.0%})"
    )
    return Verdict(
        told or asked.value,
        asked if passed else Precision.FP32,
        f"{asked.value} is faithful: {against}"
        if passed
        else f"fp32, because {asked.value} is not: {against}",
        round(cosine, 6),
        round(overlap, 4),
    )


def lowered(network: nn.Module, precision: Precision, device: str) -> tuple[nn.Module | None, str]:
    """The network in other arithmetic, on the device; None and why, where that cannot be had."""
    import torch

    if precision is Precision.BF16:
        return copy.deepcopy(network).to(device=device, dtype=torch.bfloat16), ""
    quantise = _integers_on_gpu() if device == "cuda" else _integers_on_cpu()
    if quantise is None:
        return None, f"INT8 on {device} needs the package torchao, which is not installed"
    made, changed = quantise(copy.deepcopy(network))
    if not changed:
        return None, "the network has no layers that INT8 would change here"
    return made.to(device), ""


def _integers_on_cpu() -> Callable[[nn.Module], tuple[nn.Module, bool]] | None:
    import torch

    def quantise(network: nn.Module) -> tuple[nn.Module, bool]:
        made = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)
        return made, any("quantized" in type(layer).__module__ for layer in made.modules())

    return quantise


def _integers_on_gpu() -> Callable[[nn.Module], tuple[nn.Module, bool]] | None:
    try:
        from torchao.quantization import (  # type: ignore[import-not-found]
            Int8DynamicActivationInt8WeightConfig,
            quantize_,
        )
    except ImportError:
        return None
    import torch

    def quantise(network: nn.Module) -> tuple[nn.Module, bool]:
        made = network.to("cuda")
        quantize_(made, Int8DynamicActivationInt8WeightConfig())
        return made, any(isinstance(layer, torch.nn.Linear) for layer in made.modules())

    return quantise
