"""Which rows to learn from, which to stop and weigh by, and which to be judged by.

With dates the split follows time, in whole days: oldest to train, then to validate, newest to test. An ad
belongs to the part in which it started, and what it does after that part is left out of it: a model that is
judged by ads it learnt from is judged by its memory. Those later rows of known ads are the `running` ones,
told beside the test, because that is what most of tomorrow's predictions are about.

Without dates whole ads are dealt out by a hash of their name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ml.ctr.errors import LeakageFound, TrainingDataInsufficient

# A part whose own new ads hold fewer clicks than this share of all takes ads by hash instead.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class Split:
    """Disjoint boolean masks over the rows; no ad is in two of train, validation and test.

    Attributes:
        train, validation, test: (n,) masks.
        running: (n,) rows of the test's days that belong to ads of the other parts.
        method: `time` or `ad`.
        description: one sentence for people.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    running: np.ndarray
    method: str
    description: str

    def check(self, groups: np.ndarray, dates: np.ndarray | None) -> None:
        """See to it that nothing leaks from one part into another.

        Raises:
            LeakageFound: an ad or a row is in two parts, or a row to learn from is not older than the test.
        """
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        names = list(parts)
        ads = {name: set(groups[mask].astype(str)) for name, mask in parts.items()}
        for position, first in enumerate(names):
            for second in names[position + 1 :]:
                if shared := ads[first] & ads[second]:
                    raise LeakageFound(
                        f"ad {min(shared)} is in the {first} part and in the {second} part "
                        f"({len(shared)} such ads): the judged model would know them already"
                    )
        if dates is not None and self.method == "time":
            for earlier, later in (("train", "validation"), ("validation", "test")):
                if dates[parts[earlier]].max() >= dates[parts[later]].min():
                    raise LeakageFound(
                        f"the {earlier} part reaches to {dates[parts[earlier]].max()}, and the {later} part "
                        f"begins on {dates[parts[later]].min()}: it would learn from the days it is judged by"
                    )


def split_by_time(
    dates: np.ndarray,
    groups: np.ndarray,
    clicks: np.ndarray,
    *,
    test_share: float,
    validation_share: float,
    seed: int,
) -> Split:
    """Oldest days to train on, newest to be judged by, each by ads that started in them.

    Where too few ads start in the newer days, ads are dealt to the parts by a hash of their name, and each
    part has its ads' rows in its own days.

    Args:
        dates: (n,) datetime64[D].
        groups: (n,) text: the ad of each row.
        clicks: (n,) counts.
        test_share, validation_share: of the days (and of the ads where they are dealt); each part gets at
            least one.
        seed: of the hash.

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
    # 0 train, 1 validation, 2 test
    window = (dates >= first_validation).astype(int) + (dates >= first_test)
    ads, ad_of_row = np.unique(groups.astype(str), return_inverse=True)
    started = np.full(len(ads), 2)
    np.minimum.at(started, ad_of_row, window)
    dealt = "by ads that started in them"
    own = [clicks[(window == part) & (started[ad_of_row] == part)].sum() for part in (1, 2)]
    if min(own) < max(1.0, _LEAST_SHARE * clicks.sum()) and len(ads) >= 3:
        dealt = "by ads dealt by a hash of their name, too few having started in them"
        some, others = _sizes(len(ads), test_share, validation_share)
        place = _places(ads, seed)
        started = np.where(place < some, 2, np.where(place < some + others, 1, 0))
    part_of_row = started[ad_of_row]
    return Split(
        train=(window == 0) & (part_of_row == 0),
        validation=(window == 1) & (part_of_row == 1),
        test=(window == 2) & (part_of_row == 2),
        running=(window == 2) & (part_of_row != 2),
        method="time",
        description=(
            f"by time, whole days: train {days[0]} to {first_validation - 1}, "
            f"validate {first_validation} to {first_test - 1}, test {first_test} to {days[-1]}, each {dealt}"
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
    of_row = _places(ads, seed)[ad_of_row]
    return Split(
        train=of_row >= tests + validations,
        validation=(of_row >= tests) & (of_row < tests + validations),
        test=of_row < tests,
        running=np.zeros(len(groups), dtype=bool),
        method="ad",
        description=(
            f"by ad (the rows have no dates), dealt by a hash of its name: "
            f"{len(ads) - tests - validations} ads to train, {validations} to validate, {tests} to test"
        ),
    )


def halves(groups: np.ndarray, seed: int) -> np.ndarray:
    """(n,) mask of a random half of the ads, with all their rows; at least one ad on either side of two."""
    return share_of_ads(groups, 0.5, seed)


def share_of_ads(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(n,) mask of a share of the ads (rounded down), with all their rows, dealt by a hash of their name."""
    ads, ad_of_row = np.unique(groups.astype(str), return_inverse=True)
    return np.asarray(_places(ads, seed)[ad_of_row] < int(len(ads) * share))


def _places(ads: np.ndarray, seed: int) -> np.ndarray:
    """(a,) rank of each ad in the order of its hash."""
    place = np.empty(len(ads), dtype=int)
    place[np.argsort([_hash(seed, ad) for ad in ads], kind="stable")] = np.arange(len(ads))
    return place


def _sizes(units: int, test_share: float, validation_share: float) -> tuple[int, int]:
    tests = min(max(1, round(units * test_share)), units - 2)
    validations = min(max(1, round(units * validation_share)), units - tests - 1)
    return tests, validations


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
