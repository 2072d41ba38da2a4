"""An update of the champion is a tournament: every way is tried, and rows that none has learnt from decide.

The rows after the champion's last day are new. Half of their ads are learnt from in the older of these days
and the other half judges on the newest, then the other way round; the champion, as it is, is what every
candidate must be proved better than. Whoever wins is made again with all the new rows, those that judged
included. Where nobody wins the champion stays: the usual end where nothing changed, because then every update
costs something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from ml.ctr.errors import ContinuationRefused, TrainingDataInsufficient
from ml.ctr.evaluation import Interval, normalized_entropy, skill
from ml.ctr.newer import newer_rows
from ml.ctr.settings import CtrSettings
from ml.ctr.split import Split, halves
from ml.ctr.strategies import RETRAINS, Strategy, Update, made_again, made_by
from ml.ctr.training import CtrTraining, Rival, judged_training
from ml.features import FeatureFrame

KEEP = "keep"


@dataclass(frozen=True)
class Candidate:
    """How one strategy did.

    Attributes:
        strategy: which.
        saved: share of the parent's log loss that it saves on the judging rows, ads resampled; its lower end
            is one-sided with the settings' confidence, all candidates together. None where it was not tried.
        old: the same on the rows the parent had learnt from; below 0 is what it forgets. None where there are
            none, or where it was not tried.
        entropy: its normalised entropy on the judging rows; None where it was not tried or is not defined.
        passed: whether it may win.
        reason: why, or why not, in half a sentence.
    """

    strategy: Strategy
    saved: Interval | None
    old: Interval | None
    entropy: float | None
    passed: bool
    reason: str


@dataclass(frozen=True)
class Tournament:
    """What trying the updates of a parent led to.

    Attributes:
        parent: its version.
        candidates: in the order they were given.
        winner: None where the parent is kept.
        training: the winner, made again with all new rows; its figures are those of the judged one.
        entropy_before, entropy_after: normalised entropy on the judging rows of the parent and of the winner
            (of the parent again where it is kept); None where it is not defined.
        judged_rows, judged_since, judged_until: the rows that judged.
        sentence: for people.
    """

    parent: int
    candidates: tuple[Candidate, ...]
    winner: Strategy | None
    training: CtrTraining | None
    entropy_before: float | None
    entropy_after: float | None
    judged_rows: int
    judged_since: date
    judged_until: date
    sentence: str


@dataclass(frozen=True)
class _Fold:
    """Masks (n,): rows that candidates learn from before they are judged, and the rows that judge them."""

    fresh: np.ndarray
    judged: np.ndarray


@dataclass(frozen=True)
class _Field:
    """What all candidates have in common: the parent, the rows, and which of them are for what.

    Attributes:
        old: (n,) mask of the rows that the parent has learnt from.
        recent: (n,) mask of the rows of the recent days, the new ones among them.
        folds: two, in which the halves of the ads change places.
        how: words about how the rows were dealt, to be appended.
        small: no retrain is among the strategies.
    """

    parent: Rival
    features: FeatureFrame
    settings: CtrSettings
    old: np.ndarray
    recent: np.ndarray
    folds: tuple[_Fold, _Fold]
    how: str
    small: bool

    def taken(self, mask: np.ndarray) -> FeatureFrame:
        """The rows of a mask."""
        return self.features.take(mask)

    def learnt(self, strategy: Strategy) -> np.ndarray:
        """(n,) mask of the rows a retrain learns from in the end, those that judge included."""
        return self.recent if strategy is Strategy.RETRAIN_RECENT else np.ones(len(self.old), dtype=bool)


def run_tournament(
    parent: Rival,
    features: FeatureFrame,
    settings: CtrSettings,
    strategies: Sequence[Strategy],
    recent_since: date | None = None,
    placements: pd.DataFrame | None = None,
) -> Tournament:
    """Try `strategies` against keeping the parent.

    A candidate passes when the lower end of its saving is above 0: one-sided, with the settings' confidence
    divided among the candidates tried (Bonferroni), so that without drift hardly anything wins by luck. Of
    those that pass, the one with the highest lower end wins.

    Who judges is newer than what was learnt from, and of other ads; in two folds, so that all ads judge.
    Where the ads were the same, a retrain on the new rows won by remembering them and did worse on the next
    ads: of 66 simulated updates 10 did harm, with other ads none of 40 (`tests/benchmarks/drift_updates.py`,
    seeds 1 to 3).

    Losing on old rows is told and allowed: after a change of what works, a model that follows it must lose on
    what no longer holds. A limit to it, of 0.2 % of the log loss, prevented no harm in the same worlds and
    nearly every update after such a change.

    Where the new rows lie on one day, or are too few to part them by day and by ad, they are parted by ad
    alone. That is as fair to the candidates, but it cannot tell a lasting change from the mood of a day, and
    the sentence says so.

    Args:
        parent: the champion and the last day it learnt from.
        features: old and new rows; old ones are those up to the parent's last day.
        settings: how far to go and how sure to be.
        strategies: which to try; see `Strategy`.
        recent_since: first day of what `retrain_recent` learns from; by default the new rows alone.
        placements: see `train_ctr`.

    Raises:
        NothingNewer: the parent has learnt all days there are.
        ContinuationRefused: rows without dates, or too few new rows, ads or clicks.
        TrainingDataInsufficient: none of the new rows has a click.
    """
    field = _field(parent, features, settings, strategies, recent_since)
    made, refused = _made(field, strategies)
    level = 1 - (1 - settings.incremental.confidence) / max(1, len(made))
    judges = [field.taken(fold.judged) for fold in field.folds]
    judged = field.taken(np.concatenate([np.flatnonzero(fold.judged) for fold in field.folds]))
    before = np.concatenate([parent.model.predict(rows.X) for rows in judges])
    candidates = tuple(
        _judged(field, strategy, made[strategy], judges, judged, before, level)
        if strategy in made
        else Candidate(strategy, None, None, None, False, f"not tried: {refused[strategy]}")
        for strategy in strategies
    )
    entropy_before = _entropy(before, judged)
    days = np.asarray(judged.dates)
    since, until = days.min().astype(date), days.max().astype(date)
    best = _best(candidates)
    judge = f"{len(judged):,} rows of {_days(since, until)} that it had not learnt from{field.how}"
    return Tournament(
        parent=parent.version,
        candidates=candidates,
        winner=best.strategy if best else None,
        training=_trained(field, best.strategy, made[best.strategy][0], placements) if best else None,
        entropy_before=entropy_before,
        entropy_after=best.entropy if best else entropy_before,
        judged_rows=len(judged),
        judged_since=since,
        judged_until=until,
        sentence=_won(parent, best, entropy_before, judge) if best else _kept(parent, candidates, judge),
    )


def _field(
    parent: Rival,
    features: FeatureFrame,
    settings: CtrSettings,
    strategies: Sequence[Strategy],
    recent_since: date | None,
) -> _Field:
    new = newer_rows(parent, features, settings)
    dates = np.asarray(features.dates)
    folds, how = _dealt(new, dates, features, settings)
    recent = new.copy()
    if recent_since is not None:
        recent |= dates >= np.datetime64(recent_since, "D")
    small = not set(strategies) & set(RETRAINS)
    return _Field(parent, features, settings, ~new, recent, folds, how, small)


def _dealt(
    new: np.ndarray, dates: np.ndarray, features: FeatureFrame, settings: CtrSettings
) -> tuple[tuple[_Fold, _Fold], str]:
    """Which new rows are learnt from and which judge, and words about it."""
    limits, days = settings.incremental, np.unique(dates[new])
    half = np.zeros(len(new), dtype=bool)
    half[new] = halves(features.groups[new], settings.seed)
    other = new & ~half
    if len(days) > 1:
        judging = min(max(1, round(len(days) * limits.judged_share)), len(days) - 1)
        late = dates >= days[-judging]
        folds = _Fold(half & ~late, other & late), _Fold(other & ~late, half & late)
        if _enough(features, folds, limits.judged_ads):
            return folds, ""
    folds = _Fold(half, other), _Fold(other, half)
    if not _enough(features, folds, limits.judged_ads):
        raise ContinuationRefused(
            f"the {int(new.sum())} new rows are of {len(np.unique(features.groups[new]))} ads with "
            f"{int(features.clicks[new].sum())} clicks: too few to learn from one half and to be judged by "
            f"the other ({limits.judged_ads} ads are needed: ctr.incremental.judged_ads in thresholds.yaml)"
        )
    return folds, ", on the same days as what it learnt from: a mood of these days may pass"


def _enough(features: FeatureFrame, folds: tuple[_Fold, _Fold], ads: int) -> bool:
    """Whether each fold has clicks to learn from and to judge by, and all judges together are enough ads."""
    parts = [mask for fold in folds for mask in (fold.fresh, fold.judged)]
    judges = len(np.unique(features.groups[folds[0].judged | folds[1].judged]))
    return judges >= ads and all(features.clicks[mask].sum() > 0 for mask in parts)


def _made(
    field: _Field, strategies: Sequence[Strategy]
) -> tuple[dict[Strategy, tuple[Update, ...]], dict[Strategy, str]]:
    """The candidates, one model a fold, and why others could not be made."""
    made: dict[Strategy, tuple[Update, ...]] = {}
    refused: dict[Strategy, str] = {}
    for strategy in strategies:
        if strategy is Strategy.RETRAIN_RECENT and field.recent.all():
            refused[strategy] = "its rows are those of the full retrain"
            continue
        try:
            made[strategy] = tuple(
                made_by(
                    strategy,
                    field.parent.model,
                    field.taken(fold.fresh),
                    field.taken(field.learnt(strategy) & (field.old | fold.fresh)),
                    field.settings,
                )
                for fold in field.folds
            )
        except TrainingDataInsufficient as error:
            refused[strategy] = str(error)
    return made, refused


def _judged(
    field: _Field,
    strategy: Strategy,
    updates: Sequence[Update],
    judges: Sequence[FeatureFrame],
    judged: FeatureFrame,
    before: np.ndarray,
    level: float,
) -> Candidate:
    """One candidate on the rows of both folds, each predicted by the model that did not know its ad."""
    after = np.concatenate(
        [update.fitted.model.predict(rows.X) for update, rows in zip(updates, judges, strict=True)]
    )
    old = field.taken(field.old)

    def saved(rates: np.ndarray, rival: np.ndarray, rows: FeatureFrame) -> Interval:
        return skill(rates, rival, rows.clicks, rows.impressions, rows.groups, field.settings.seed, level)

    on_new, on_old = saved(after, before, judged), None
    if old.clicks.sum():
        on_old = saved(updates[0].fitted.model.predict(old.X), field.parent.model.predict(old.X), old)
    passed = on_new.low > 0
    reason = _share(on_new) if passed else f"not proved better: {_share(on_new)}"
    return Candidate(strategy, on_new, on_old, _entropy(after, judged), passed, reason)


def _entropy(rates: np.ndarray, rows: FeatureFrame) -> float | None:
    found = normalized_entropy(rates, rows.clicks, rows.impressions)
    return found if np.isfinite(found) else None


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    passed = [(each.saved.low, each) for each in candidates if each.passed and each.saved]
    return max(passed, key=lambda pair: pair[0])[1] if passed else None


def _trained(
    field: _Field, strategy: Strategy, update: Update, placements: pd.DataFrame | None
) -> CtrTraining:
    """The winner with all new rows; its figures are of the first fold's model, on the rows that judge it."""
    parent, fold, dates = field.parent, field.folds[0], np.asarray(field.features.dates)
    masks = {"train": field.old, "validation": fold.fresh, "test": fold.judged}
    shipped = made_again(
        update,
        strategy,
        parent.model,
        field.taken(~field.old),
        field.taken(field.learnt(strategy)),
        field.settings,
    )
    learnt, judge = dates[fold.fresh], dates[fold.judged]
    split = Split(
        **masks,
        running=np.zeros(len(dates), dtype=bool),
        method="continued",
        description=(
            f"by what v{parent.version} knew: it had learnt up to {parent.learnt_until}; {strategy.value} "
            f"learnt from half of the newer ads on {_days(learnt.min(), learnt.max())}, the other half "
            f"judges on {_days(judge.min(), judge.max())}"
        ),
    )
    training = judged_training(
        update.fitted,
        shipped.fitted.model,
        field.features,
        {name: field.taken(mask) for name, mask in masks.items()},
        split,
        field.settings,
        champion=parent,
        placements=placements,
        mode="incremental" if field.small else "update",
        parent=parent.version,
    )
    recent = dates[field.recent].min().astype(date) if strategy is Strategy.RETRAIN_RECENT else None
    return replace(training, learnt_since=recent)


def _share(saved: Interval) -> str:
    return f"saves {saved.value:.2%} of the log loss ({saved.low:.2%} to {saved.high:.2%})"


def _kept(parent: Rival, candidates: Sequence[Candidate], judge: str) -> str:
    tried = [(each.saved.value, each) for each in candidates if each.saved]
    if not tried:
        reasons = "; ".join(f"{each.strategy.value} {each.reason}" for each in candidates)
        return f"v{parent.version} stays, no update of it could be tried: {reasons}"
    best = max(tried, key=lambda pair: pair[0])[1]
    return (
        f"no update helps, v{parent.version} stays. Of {len(tried)} tried on {judge}, the best was "
        f"{best.strategy.value}: {best.reason}"
    )


def _won(parent: Rival, best: Candidate, before: float | None, judge: str) -> str:
    entropy = (
        f"; normalised entropy {before:.4f} before, {best.entropy:.4f} after"
        if before and best.entropy
        else ""
    )
    old = best.old
    lost = f"; on old rows it loses {-old.value:.2%}" if old is not None and old.high < 0 else ""
    return f"{best.strategy.value} beats v{parent.version} on {judge}: {best.reason}{entropy}{lost}"


def _days(first: object, last: object) -> str:
    return f"{first}" if first == last else f"{first} to {last}"
