"""Which mined features earn their place: what forgetting them costs on days and ads that nobody learnt from.

Gradient-boosted trees learn from the ads feature set and the lagged mined features. Ads are dealt into folds;
every ad judges once, on the newest days, models that learnt from the other ads' older days. A model that
knows an ad is judged by its memory, and many a mined feature is a fingerprint of its ad.

*Permutation.* One feature's values are dealt out anew among the rows of the same day that have it: a trend
over time, or that a value is missing for a new ad, is no merit of the value. The rise of the loss says how
much the model leans on it.

*Relearning.* A model may lean on a feature and be none the better for it, because others say the same. So
models are also learnt without each group of features, and without all of them. A feature earns its place
where permuting it costs, after allowing for how many were looked at, and where relearning without its group
confirms it: that interval lies above 0. Rows of one ad are one piece of evidence: intervals come from
resampling ads and from repeating the permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ml.ctr.errors import TrainingDataInsufficient
from ml.ctr.evaluation import log_loss_sums
from ml.drift.movement import benjamini_hochberg
from ml.features.frame import FeatureFrame
from ml.features.mined_definitions import BY_NAME
from ml.features.mined_forgetting import ALL, JudgingSettings, Losses, deal, judge_fold
from ml.features.mined_formulas import GROUPS
from ml.features.mined_inputs import PREFIX

Verdict = Literal["earns its place", "not proved", "harmful"]
EARNS: Verdict = "earns its place"
NOT_PROVED: Verdict = "not proved"
HARMFUL: Verdict = "harmful"
_RESAMPLES = 400


@dataclass(frozen=True)
class Importance:
    """What forgetting something costs.

    Attributes:
        name: of a feature, or key of a group.
        value, low, high: rise of the loss, as a share of the entropy of the judged rows.
        p_value: chance of a value so far from 0 if there were nothing.
        verdict: after allowing for how many were looked at.
        present: share of the judged rows that have a value.
        used: whether any tree asks for it.
    """

    name: str
    value: float
    low: float
    high: float
    p_value: float
    verdict: Verdict
    present: float
    used: bool


@dataclass(frozen=True)
class FeatureReport:
    """What the mined features are worth for one target.

    Attributes:
        target: `ctr` (clicks per impression) or `conversion` (purchases per click).
        learnt_from, judged_by: first and last day of either.
        rows, ads: that judged.
        entropy_without, entropy_with: normalised entropy of the model without and with mined features.
        gain: what all of them together save, as `Importance`; above 0 they help.
        features: what permuting each costs, most important first.
        groups: what relearning without each costs, most important first.
    """

    target: str
    learnt_from: tuple[str, str]
    judged_by: tuple[str, str]
    rows: int
    ads: int
    entropy_without: float
    entropy_with: float
    gain: Importance
    features: tuple[Importance, ...]
    groups: tuple[Importance, ...]

    @property
    def earning(self) -> tuple[str, ...]:
        """Names of the features that earn their place."""
        return tuple(each.name for each in self.features if each.verdict == EARNS)

    @property
    def summary(self) -> str:
        """The verdict in sentences."""
        earning, harmful = self.earning, [f.name for f in self.features if f.verdict == HARMFUL]
        what = "click rates" if self.target == "ctr" else "purchases per click"
        told = {
            EARNS: f"Together the mined features help to predict {what}",
            NOT_PROVED: f"It is not proved that the mined features help to predict {what}",
            HARMFUL: f"Together the mined features make predictions of {what} worse",
        }[self.gain.verdict]
        sentence = (
            f"{told}: normalised entropy {self.entropy_without:.4f} without, {self.entropy_with:.4f} with "
            f"them, on {self.ads:,} ads. "
        )
        named = (
            f"By {'itself' if len(earning) == 1 else 'themselves'} {', '.join(earning)} "
            f"earn{'s' if len(earning) == 1 else ''} a place"
            if earning
            else (f"None of {len(self.features)} earns its place")
        )
        return sentence + named + (f"; harmful: {', '.join(harmful)}." if harmful else ".")


def judge_features(features: FeatureFrame, settings: JudgingSettings, target: str) -> FeatureReport:
    """Learn, forget, and say what earns its place.

    Args:
        features: with dates and `mined_...` columns; events and trials of the target as clicks and
            impressions.
        target: for the report.

    Raises:
        TrainingDataInsufficient: too few days, ads or events, or no mined feature that varies.
    """
    mined = tuple(name for name in features.feature_names if name.startswith(PREFIX))
    if not mined or features.dates is None:
        raise TrainingDataInsufficient(
            "no mined feature is known of these rows: run mine_ad_features for their days first"
        )
    parts = deal(features, settings)
    judged = features.take(parts.judging)
    ads = len(np.unique(judged.groups.astype(str)))
    if ads < settings.least_ads or not judged.clicks.sum():
        raise TrainingDataInsufficient(
            f"{ads} ads with {judged.clicks.sum():,} events can judge mined features, and "
            f"{settings.least_ads} are needed: wait for more days, or load more accounts"
        )
    groups = {
        group: members for group in GROUPS if (members := [name for name in mined if _group(name) == group])
    }
    losses = Losses(len(judged))
    for fold in range(settings.folds):
        judge_fold(features, parts, fold, mined, groups, settings, losses)
    judge = _Judge(judged, losses.known, settings)
    present = {name: float(judged.X[name].notna().mean()) for name in mined}
    gain, *of_group = (
        _by_interval(
            judge.importance(name, losses.without[name], max(present[n] for n in members), used=True)
        )
        for name, members in ((ALL, mined), *groups.items())
    )
    worth = {each.name for each in of_group if each.verdict == EARNS}
    single = [
        judge.importance(
            name.removeprefix(PREFIX), losses.permuted[name], present[name], used=name in losses.used
        )
        for name in mined
    ]
    entropy = float(losses.known.sum() / judge.entropy)
    return FeatureReport(
        target=target,
        learnt_from=_period(features.take(parts.learning)),
        judged_by=_period(judged),
        rows=len(judged),
        ads=ads,
        entropy_without=entropy + gain.value,
        entropy_with=entropy,
        gain=gain,
        features=tuple(
            replace(each, verdict=NOT_PROVED)
            if each.verdict == EARNS and BY_NAME[each.name].group not in worth
            else each
            for each in _with_verdicts(single, settings)
        ),
        groups=tuple(sorted(of_group, key=lambda each: -each.value)),
    )


def as_numbers(report: FeatureReport) -> dict[str, Any]:
    """The report as JSON values."""
    return asdict(report)


def purchases_frame(features: FeatureFrame, rows: pd.DataFrame) -> FeatureFrame:
    """The same features with purchases per click as what is predicted; rows without a click are left out.

    Args:
        features: of clicks, with dates.
        rows: what they were made of: account_id, ad_id, metric_date and conversions.
    """
    if features.dates is None:
        raise TrainingDataInsufficient("rows without dates cannot be judged: purchases need a day")
    names = rows["account_id"].astype(str) + "/" + rows["ad_id"].astype(str)
    bought = rows["conversions"].astype("float64").groupby([names, pd.to_datetime(rows["metric_date"])]).sum()
    wanted = pd.MultiIndex.from_arrays([features.groups.astype(str), pd.to_datetime(features.dates)])
    purchases = bought.reindex(wanted).fillna(0.0).to_numpy()
    clicked = features.clicks > 0
    told = replace(
        features,
        # One click may buy twice; a rate above 1 means nothing.
        clicks=np.minimum(np.round(purchases).astype("int64"), features.clicks),
        impressions=features.clicks,
    )
    return told.take(clicked)


@dataclass
class _Judge:
    """Turns losses of changed rows into importances."""

    test: FeatureFrame
    base: np.ndarray
    settings: JudgingSettings

    def __post_init__(self) -> None:
        rate = self.test.clicks.sum() / self.test.impressions.sum()
        constant = np.full(len(self.test), rate)
        self.entropy = float(log_loss_sums(constant, self.test.clicks, self.test.impressions).sum())
        self.ad = np.unique(self.test.groups.astype(str), return_inverse=True)[1]
        count = int(self.ad.max()) + 1
        random = np.random.default_rng(self.settings.seed)
        self.draws = random.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES).astype("float64")

    def importance(
        self, name: str, losses: Sequence[np.ndarray], present: float, *, used: bool
    ) -> Importance:
        """The mean rise over the repeats, with what ads and permutations leave open."""
        if not used:
            return Importance(name, 0.0, 0.0, 0.0, 1.0, NOT_PROVED, present, used)
        rises = np.stack([np.bincount(self.ad, weights=loss - self.base) for loss in losses]) / self.entropy
        of_ad = rises.mean(axis=0)
        value = float(of_ad.sum())
        spread = float((self.draws @ of_ad).var(ddof=1))
        if len(losses) > 1:
            spread += float(rises.sum(axis=1).var(ddof=1)) / len(losses)
        freedom = max(len(of_ad) - 1, 1)
        error = max(spread**0.5, 1e-15)
        reach = float(student.ppf(1 - self.settings.false_discovery_rate / 2, freedom)) * error
        chance = float(2 * student.sf(abs(value) / error, freedom))
        return Importance(name, value, value - reach, value + reach, chance, NOT_PROVED, present, used)


def _period(rows: FeatureFrame) -> tuple[str, str]:
    """First and last day."""
    assert rows.dates is not None  # noqa: S101 - seen to by judge_features
    return str(rows.dates.min()), str(rows.dates.max())


def _group(column: str) -> str:
    return BY_NAME[column.removeprefix(PREFIX)].group


def _by_interval(found: Importance) -> Importance:
    """Judged alone: for what only confirms findings, or is the only one of its kind."""
    verdict = EARNS if found.low > 0 else HARMFUL if found.high < 0 else NOT_PROVED
    return replace(found, verdict=verdict)


def _with_verdicts(found: Sequence[Importance], settings: JudgingSettings) -> tuple[Importance, ...]:
    """Most important first."""
    stands = benjamini_hochberg(np.array([each.p_value for each in found]), settings.false_discovery_rate)
    told = [
        replace(each, verdict=(EARNS if each.value > 0 else HARMFUL) if proved else NOT_PROVED)
        for each, proved in zip(found, stands, strict=True)
    ]
    return tuple(sorted(told, key=lambda each: -each.value))
