"""Losses of held-out rows by models that know all, lack something, or see one feature dealt out anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ml.ctr.encoding import FrameEncoder
from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.evaluation import log_loss_sums
from ml.ctr.lightgbm_member import LightgbmMember
from ml.ctr.member import EncodedRows, rate_of
from ml.ctr.settings import LightgbmSettings
from ml.features.frame import FeatureFrame

# Names the model that lacks every mined feature.
ALL = "all"


@dataclass(frozen=True)
class JudgingSettings:
    """How features are judged.

    Attributes:
        test_share, validation_share: newest days to be judged by, and before them to stop growing trees by.
        folds: parts of the ads; each is judged by models that learnt from the others.
        repeats: permutations of each feature.
        false_discovery_rate: over all features, and over all groups. Intervals are of 1 less this.
        least_ads: to be judged by; with fewer nothing is said.
        seed: of splits, trees and permutations.
        trees: of the model.
    """

    test_share: float
    validation_share: float
    folds: int
    repeats: int
    false_discovery_rate: float
    least_ads: int
    seed: int
    trees: LightgbmSettings


@dataclass(frozen=True)
class Parts:
    """Which rows do what: masks of the older and newest days, and the fold of each row's ad."""

    learning: np.ndarray
    stopping: np.ndarray
    judging: np.ndarray
    fold: np.ndarray


@dataclass
class Losses:
    """Losses of the judged rows, filled fold by fold: with everything, without something, and permuted."""

    rows: int
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known = np.zeros(self.rows)
        self.without: dict[str, list[np.ndarray]] = {}
        self.permuted: dict[str, list[np.ndarray]] = {}

    def put(
        self, table: dict[str, list[np.ndarray]], name: str, repeat: int, where: np.ndarray, loss: np.ndarray
    ) -> None:
        """Keep the losses of some rows."""
        repeats = table.setdefault(name, [])
        if len(repeats) == repeat:
            repeats.append(np.zeros(self.rows))
        repeats[repeat][where] = loss


def deal(features: FeatureFrame, settings: JudgingSettings) -> Parts:
    assert features.dates is not None  # noqa: S101 - seen to by judge_features
    days = np.unique(features.dates)
    tests = max(1, round(len(days) * settings.test_share))
    validations = max(1, round(len(days) * settings.validation_share))
    if len(days) < tests + validations + 1:
        raise TrainingDataInsufficient(
            f"the rows span {len(days)} day(s), too few to learn from some and be judged by others: load more"
        )
    first_test, first_validation = days[len(days) - tests], days[len(days) - tests - validations]
    ads, ad = np.unique(features.groups.astype(str), return_inverse=True)
    place = np.empty(len(ads), dtype=int)
    digests = [hashlib.blake2b(f"{settings.seed}:{name}".encode(), digest_size=8).digest() for name in ads]
    place[np.argsort(digests, kind="stable")] = np.arange(len(ads))
    return Parts(
        learning=features.dates < first_validation,
        stopping=(features.dates >= first_validation) & (features.dates < first_test),
        judging=features.dates >= first_test,
        fold=(place % settings.folds)[ad],
    )


def judge_fold(
    features: FeatureFrame,
    parts: Parts,
    fold: int,
    mined: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    settings: JudgingSettings,
    losses: Losses,
) -> None:
    """Let one fold's ads judge models that learnt from the others."""
    others, own = parts.fold != fold, parts.fold == fold
    train, stop = features.take(parts.learning & others), features.take(parts.stopping & others)
    test = features.take(parts.judging & own)
    where = own[parts.judging]
    if not train.clicks.sum() or not stop.clicks.sum() or not len(test):
        raise TrainingDataInsufficient(
            f"fold {fold + 1} of {settings.folds} has no event to learn from, or no row to be judged "
            "by: wait for more days, or load more accounts"
        )

    # Columns are encoded one by one, so that each model takes its own of what is encoded once.
    every = FrameEncoder().fit(train.X)
    train_rows, stop_rows = EncodedRows.of(train, every), EncodedRows.of(stop, every)
    test_matrix = every.transform(test.X)

    def learnt(left_out: Sequence[str]) -> tuple[LightgbmMember, np.ndarray]:
        places = [place for place, name in enumerate(every.columns_) if name not in left_out]
        encoder = FrameEncoder(tuple(every.columns_[place] for place in places), every.levels_)
        member = LightgbmMember(settings.trees, encoder, settings.seed)
        own_train, own_stop = (
            replace(rows, matrix=rows.matrix[:, places]) for rows in (train_rows, stop_rows)
        )
        member.fit(own_train, own_stop)
        return member, test_matrix[:, places]

    def loss(model: LightgbmMember, matrix: np.ndarray) -> np.ndarray:
        return log_loss_sums(rate_of(model.log_odds(matrix)), test.clicks, test.impressions)

    model, matrix = learnt(())
    losses.known[where] = loss(model, matrix)
    for name, left_out in ((ALL, mined), *groups.items()):
        losses.put(losses.without, name, 0, where, loss(*learnt(left_out)))
    used = set(model.importances())
    losses.used |= used & set(mined)
    assert test.dates is not None  # noqa: S101 - seen to by judge_features
    for name in mined:
        column = features.feature_names.index(name)
        changes = _permutations(matrix, column, test.dates.astype("int64"), settings)
        for repeat, changed in enumerate(changes):
            told = loss(model, changed) if name in used else losses.known[where]
            losses.put(losses.permuted, name, repeat, where, told)


def _permutations(
    matrix: np.ndarray, column: int, days: np.ndarray, settings: JudgingSettings
) -> Iterator[np.ndarray]:
    """The matrix with one column dealt out anew among the rows of each day that have it."""
    present = np.flatnonzero(~np.isnan(matrix[:, column]))
    order = present[np.argsort(days[present], kind="stable")]
    for repeat in range(settings.repeats):
        random = np.random.default_rng([settings.seed, column, repeat])
        dealt = present[np.lexsort((random.random(len(present)), days[present]))]
        changed = matrix.copy()
        changed[order, column] = matrix[dealt, column]
        yield changed
