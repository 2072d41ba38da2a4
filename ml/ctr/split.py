"""Which rows to learn from, which to stop on, and which to be judged by.

With dates the split follows time, in whole days: oldest to train, then to validate, newest to test. Without
dates whole ads are dealt out by a hash of their name, so that no ad lies in two parts.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from ml.ctr.errors import TrainingDataInsufficient


@dataclass(frozen=True)
class Split:
    """Three disjoint boolean masks over the rows, that together cover all of them.

    Attributes:
        train, validation, test: (n,) masks.
        method: `time` or `ad`.
        description: one sentence for people.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    method: str
    description: str


def split_by_time(dates: np.ndarray, *, test_share: float, validation_share: float) -> Split:
    """Oldest days to train on, newest to be judged by; a day is never in two parts.

    Args:
        dates: (n,) datetime64[D].
        test_share, validation_share: of the days; each part gets at least one.

    Raises:
        TrainingDataInsufficient: fewer than three days.
    """
    days = np.unique(dates)
    if len(days) < 3:
        raise TrainingDataInsufficient(
            f"the rows span {len(days)} day(s): training, validation and test need at least one day each; "
            "load more days, or wait for them"
        )
    tests, validations = _sizes(len(days), test_share, validation_share)
    first_test = days[len(days) - tests]
    first_validation = days[len(days) - tests - validations]
    return Split(
        train=dates < first_validation,
        validation=(dates >= first_validation) & (dates < first_test),
        test=dates >= first_test,
        method="time",
        description=(
            f"by time, whole days: train {days[0]} to {first_validation - 1}, "
            f"validate {first_validation} to {first_test - 1}, test {first_test} to {days[-1]}"
        ),
    )


def split_by_ad(groups: np.ndarray, *, test_share: float, validation_share: float, seed: int) -> Split:
    """Whole ads to each part, dealt by a hash of seed and name: the same ads always land the same way.

    Args:
        groups: (n,) text: the ad of each row.
        test_share, validation_share: of the ads; each part gets at least one.
        seed: another seed deals the ads another way.

    Raises:
        TrainingDataInsufficient: fewer than three ads.
    """
    ads, ad_of_row = np.unique(groups.astype(str), return_inverse=True)
    if len(ads) < 3:
        raise TrainingDataInsufficient(
            f"the rows belong to {len(ads)} ad(s): training, validation and test need at least one each; "
            "import an export with more ads"
        )
    tests, validations = _sizes(len(ads), test_share, validation_share)
    place = np.empty(len(ads), dtype=int)
    place[np.argsort([_hash(seed, ad) for ad in ads], kind="stable")] = np.arange(len(ads))
    of_row = place[ad_of_row]
    return Split(
        train=of_row >= tests + validations,
        validation=(of_row >= tests) & (of_row < tests + validations),
        test=of_row < tests,
        method="ad",
        description=(
            f"by ad (the rows have no dates), dealt by a hash of its name: "
            f"{len(ads) - tests - validations} ads to train, {validations} to validate, {tests} to test"
        ),
    )


def _sizes(units: int, test_share: float, validation_share: float) -> tuple[int, int]:
    tests = min(max(1, round(units * test_share)), units - 2)
    validations = min(max(1, round(units * validation_share)), units - tests - 1)
    return tests, validations


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
