"""Which model a unit meets: a hash of the experiment's salt and the unit, so nothing has to be stored.

The same unit always meets the same arm, an analyst finds the arm again offline, and a larger share only ever
moves units from the champion to the challenger. Each experiment takes a salt of its own: with the same salt,
the units that met the last challenger would meet the next one too.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b

from ml.experiments.errors import ExperimentSettingsInvalid

BUCKETS = 10_000


class Arm(StrEnum):
    """The two models of an experiment."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


def bucket(unit: str, salt: str) -> int:
    """The bucket of a unit, in [0, 10000): even, and independent between salts.

    >>> bucket("account-17", "ctr-2024-05") == bucket("account-17", "ctr-2024-05")
    True
    """
    digest = blake2b(f"{salt}:{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * BUCKETS >> 64


def assign(unit: str, *, salt: str, challenger_share: float) -> Arm:
    """The arm of a unit.

    Args:
        unit: what is assigned as a whole, an account or a user; a request only if requests are independent.
        salt: of this experiment, such as its id.
        challenger_share: 0 to 1, in steps of 0.0001; 0 turns the challenger off, 1 the champion.

    Raises:
        ExperimentSettingsInvalid: the share is not between 0 and 1.
    """
    if not 0 <= challenger_share <= 1:
        raise ExperimentSettingsInvalid(f"challenger_share is {challenger_share}; it lies between 0 and 1")
    within = bucket(unit, salt) < round(challenger_share * BUCKETS)
    return Arm.CHALLENGER if within else Arm.CHAMPION
