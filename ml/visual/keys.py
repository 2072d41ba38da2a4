"""What a result depends on, and the key made of it: the same key is never computed twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class Precision(StrEnum):
    """The arithmetic of the network."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


@dataclass(frozen=True)
class Recipe:
    """How a video becomes a result.

    Attributes:
        model: digest of weights and heads, or `none`.
        preprocessing: see `ml.visual.settings.preprocessing_version`.
    """

    model: str
    preprocessing: str
    sampling: str
    precision: Precision

    @property
    def digest(self) -> str:
        """Names all four."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def family(self) -> str:
        """Names all but the precision: copies are looked for among videos seen with the same three."""
        told = f"{self.model}:{self.preprocessing}:{self.sampling}"
        return hashlib.sha256(told.encode()).hexdigest()

    def key(self, content_hash: str) -> str:
        """The key of what this recipe makes of a content."""
        return hashlib.sha256(f"{content_hash}:{self.digest}".encode()).hexdigest()

    def at(self, precision: Precision) -> Recipe:
        """The same with another arithmetic."""
        return replace(self, precision=precision)
