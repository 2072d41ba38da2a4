"""Imports timm where torchvision's compiled operators do not fit the torch that is installed.

The wheels of torchvision are built against CUDA. With a torch for CPUs its library cannot be loaded, and the
import dies over two operators that nobody here calls. Declaring them, without a body, is enough.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

_DECLARED: list[Any] = []  # PyTorch forgets what was declared with the library object.
_OPERATORS = ("nms", "qnms")


def timm() -> ModuleType:
    """The module `timm`, ready for use."""
    import torch

    if not _DECLARED and not _loads():
        library = torch.library.Library("torchvision", "DEF")
        for name in _OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)
    import timm as module

    return module


def _loads() -> bool:
    """Whether torchvision's own library can be loaded, which then declares the operators itself."""
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return True
    library = Path(found.origin).with_name("_C.so")
    try:
        torch.ops.load_library(str(library))
    except OSError:
        return False
    return True
