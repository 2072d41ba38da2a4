"""What every member of the CTR model is to the others: numbers in, log-odds of a click out.

A member is one file: it learns from encoded rows, goes on learning from newer ones, and keeps itself in a
format of its own library, never a pickle. Rows weigh what they are: the loss is binomial, so a row of 100,000
impressions counts ten thousand times one of ten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np

from ml.ctr.encoding import FrameEncoder
from ml.features import FeatureFrame


@dataclass(frozen=True)
class EncodedRows:
    """Rows as members see them.

    Attributes:
        matrix: (n, k) float32 as `FrameEncoder.transform` makes it: codes of categories, NaN for unknown.
        clicks, impressions: (n,) counts.
    """

    matrix: np.ndarray
    clicks: np.ndarray
    impressions: np.ndarray

    @classmethod
    def of(cls, frame: FeatureFrame, encoder: FrameEncoder) -> Self:
        """Encode a frame."""
        return cls(encoder.transform(frame.X), frame.clicks, frame.impressions)

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def ctr(self) -> np.ndarray:
        """(n,) observed clicks per impression."""
        return np.asarray(self.clicks / self.impressions)

    def take(self, where: np.ndarray) -> "EncodedRows":
        """The rows that a mask or positions pick."""
        return EncodedRows(self.matrix[where], self.clicks[where], self.impressions[where])


class Member(Protocol):
    """One estimator of the ensemble.

    Attributes:
        name: by which settings, metrics and files call it.
        rounds_: trees grown, or epochs run.
    """

    name: ClassVar[str]
    rounds_: int

    def fit(
        self, train: EncodedRows, validation: EncodedRows | None = None, rounds: int | None = None
    ) -> Self:
        """Learn from `train`, stopping on `validation`; without it, exactly `rounds` rounds."""
        ...

    def extended(self, new: EncodedRows, rounds: int) -> Self:
        """A copy that went on learning from newer rows for `rounds` more rounds; this one stays as it is."""
        ...

    def log_odds(self, matrix: np.ndarray) -> np.ndarray:
        """(n,) float64 log-odds for an encoded (n, k) matrix."""
        ...

    def importances(self) -> Mapping[str, float]:
        """Share of what each column contributes, summing to 1; empty where nothing was learnt."""
        ...

    def save(self, folder: Path) -> None:
        """Write the member's own files into an existing folder."""
        ...

    def restore(self, folder: Path) -> Self:
        """Take the files that `save` wrote."""
        ...


def log_odds_of(rate: float | np.ndarray) -> np.ndarray:
    """Log-odds of a probability strictly between 0 and 1."""
    return np.asarray(np.log(rate) - np.log1p(-np.asarray(rate)))


def rate_of(log_odds: np.ndarray) -> np.ndarray:
    """Probability of log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-log_odds)))
