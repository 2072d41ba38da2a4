"""Random streams that do not disturb each other.

Each kind of draw has a stream of its own, keyed by seed and name, and every array is drawn in the order of
time. NumPy fills arrays element by element, so a longer history takes the same numbers for its earlier
part: this is what makes a world prefix-consistent.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str, *key: int) -> np.random.Generator:
    """The generator of the draws called `name`, e.g. `stream(7, "ads", account_number)`."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode()), *key]))
