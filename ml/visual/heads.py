"""Tags and an emotion score from embeddings of scenes: learnt from labels, or not offered at all.

A tag is a logistic regression of its own, the emotion score a ridge regression. Each is judged on videos it
has not learnt from (folds hold whole videos, since scenes of one video are alike), calibrated on the
answers it gave there, and kept only when it beats the best constant answer by a margin that chance does
not explain. What is kept is written into the model's folder, so the digest of the model changes with it.
A model without heads gives no tags and no score: there is no other way to a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ml.visual.errors import HeadNotOffered
from ml.visual.model import HEADS

FOLDS = 5
_LEAST_VIDEOS = 20
_LEAST_LABELLED = 10
_SURE_Z = 1.645
_STRENGTHS = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Judged:
    """How a head did on videos it had not seen.

    Attributes:
        loss: log loss (tags) or squared error (emotion).
        prior_loss: of the best constant answer, learnt from the same videos as the head.
        gain: share of the prior's loss that the head saves.
        least_gain: lower bound of it, at 95%, over videos.
        videos, scenes: with labels.
    """

    loss: float
    prior_loss: float
    gain: float
    least_gain: float
    videos: int
    scenes: int


@dataclass(frozen=True)
class Head:
    """A linear answer: `scale * (x @ weights + bias) + shift`, through a logistic where it is a probability.

    Attributes:
        name: of the tag, or `emotion`.
        threshold: the probability from which the tag is given; half. None for a score.
    """

    name: str
    weights: tuple[float, ...]
    bias: float
    scale: float
    shift: float
    threshold: float | None
    judged: Judged

    def answer(self, embeddings: np.ndarray) -> np.ndarray:
        """(n,) probabilities of a tag, or scores between 0 and 1."""
        raw = self.scale * (embeddings @ np.array(self.weights) + self.bias) + self.shift
        return 1 / (1 + np.exp(-raw)) if self.threshold is not None else np.clip(raw, 0.0, 1.0)


@dataclass(frozen=True)
class Heads:
    """The heads of a model; by default none."""

    tags: tuple[Head, ...] = ()
    emotion: Head | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write them into the model's folder; with none, the folder has no heads afterwards."""
        path = folder / HEADS
        if not self.tags and self.emotion is None:
            path.unlink(missing_ok=True)
            return
        values = {"tags": [asdict(head) for head in self.tags]}
        values["emotion"] = asdict(self.emotion) if self.emotion else None  # type: ignore[assignment]
        path.write_text(json.dumps(values, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Heads:
        """Those of a model's folder; none where it has none."""
        path = folder / HEADS
        if not path.is_file():
            return cls()
        values = json.loads(path.read_text())
        emotion = values["emotion"]
        return cls(tuple(map(_head, values["tags"])), _head(emotion) if emotion else None)

    def tags_of(self, embedding: np.ndarray) -> list[str] | None:
        """The tags of a scene, by name; None where no tag was ever learnt."""
        if not self.tags:
            return None
        row = embedding[None, :].astype(np.float64)
        return sorted(head.name for head in self.tags if head.answer(row)[0] >= (head.threshold or 0.5))

    def emotion_of(self, embedding: np.ndarray) -> float | None:
        """The emotion score of a scene, 0 to 1; None where none was learnt."""
        if self.emotion is None:
            return None
        return round(float(self.emotion.answer(embedding[None, :].astype(np.float64))[0]), 4)


def fit_heads(
    embeddings: np.ndarray,
    videos: Sequence[str],
    tags: Mapping[str, np.ndarray],
    emotion: np.ndarray | None = None,
    *,
    margin: float,
) -> Heads:
    """Learn what can be learnt from labelled scenes.

    Args:
        embeddings: (n, d) of scenes, length 1.
        videos: (n,) which video each scene is of.
        tags: by name, (n,) 1, 0, or NaN where nobody said.
        emotion: (n,) 0 to 1, or NaN.
        margin: share of the prior's loss that a head must save, with certainty, to be offered.

    Returns:
        Heads that are offered; `refused` says of the others why not.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    offered: dict[str, Head] = {}
    refused: dict[str, str] = {}
    # Hundreds of fits of small matrices: threads would spend their time waiting for each other.
    with threadpool_limits(1):
        for name in sorted(tags):
            try:
                offered[name] = fit_tag(name, embeddings, videos, tags[name], margin=margin)
            except HeadNotOffered as error:
                refused[name] = str(error)
        score = None
        if emotion is not None:
            try:
                score = fit_emotion(embeddings, videos, emotion, margin=margin)
            except HeadNotOffered as error:
                refused["emotion"] = str(error)
    return Heads(tuple(offered.values()), score, refused)


def fit_tag(
    name: str, embeddings: np.ndarray, videos: Sequence[str], labels: np.ndarray, *, margin: float
) -> Head:
    """A head for one tag; see `fit_heads`.

    Raises:
        HeadNotOffered: too few labels, or not surely better than the prior by the margin.
    """
    from sklearn.linear_model import LogisticRegression

    rows, target, groups = _labelled(name, embeddings, videos, labels)
    if min(target.sum(), len(target) - target.sum()) < _LEAST_LABELLED:
        raise HeadNotOffered(f"{name}: fewer than {_LEAST_LABELLED} scenes with it, or without it")

    def fitted(strength: float) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]:
        def fit(inputs: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float]:
            if len(np.unique(wanted)) == 1:
                return np.zeros(inputs.shape[1]), _logit(wanted.mean())
            made = LogisticRegression(C=strength * inputs.shape[1], max_iter=2000).fit(inputs, wanted)
            return made.coef_[0], float(made.intercept_[0])

        return fit

    def loss(raw: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return np.logaddexp(0, raw) - wanted * raw

    strength, raw, prior = _across(rows, target, groups, fitted, loss, lambda wanted: _logit(wanted.mean()))
    calibration = LogisticRegression(C=1e6).fit(raw[:, None], target)
    scale, shift = float(calibration.coef_[0, 0]), float(calibration.intercept_[0])
    judged = _judged(name, loss(raw, target), loss(prior, target), groups, margin)
    weights, bias = fitted(strength)(rows, target)
    return Head(name, tuple(map(float, weights)), bias, scale, shift, 0.5, judged)


def fit_emotion(embeddings: np.ndarray, videos: Sequence[str], labels: np.ndarray, *, margin: float) -> Head:
    """A head for the emotion score; see `fit_heads`.

    Raises:
        HeadNotOffered: too few labels, or not surely better than the mean by the margin.
    """
    from sklearn.linear_model import Ridge

    rows, target, groups = _labelled("emotion", embeddings, videos, labels)

    def fitted(strength: float) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]:
        def fit(inputs: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float]:
            made = Ridge(alpha=1 / strength).fit(inputs, wanted)
            return made.coef_, float(made.intercept_)

        return fit

    def loss(raw: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return (raw - wanted) ** 2

    strength, raw, prior = _across(rows, target, groups, fitted, loss, lambda wanted: float(wanted.mean()))
    judged = _judged("emotion", loss(raw, target), loss(prior, target), groups, margin)
    slope, level = np.polyfit(raw, target, 1) if raw.std() > 0 else (1.0, 0.0)
    weights, bias = fitted(strength)(rows, target)
    return Head("emotion", tuple(map(float, weights)), bias, float(slope), float(level), None, judged)


def _labelled(
    name: str, embeddings: np.ndarray, videos: Sequence[str], labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = np.isfinite(labels) & np.isfinite(embeddings).all(axis=1)
    groups = np.asarray(videos)[known]
    count = len(np.unique(groups))
    if count < _LEAST_VIDEOS:
        raise HeadNotOffered(f"{name}: labels of {count} videos, at least {_LEAST_VIDEOS} are needed")
    return embeddings[known].astype(np.float64), labels[known].astype(np.float64), groups


def _across(
    rows: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray,
    fitted: Callable[[float], Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]],
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
    constant: Callable[[np.ndarray], float],
) -> tuple[float, np.ndarray, np.ndarray]:
    """The best strength, and what head and prior answer about videos they have not learnt from.

    The strength of each fold is chosen within the other folds, so the answers are those of a stranger.
    """
    raw, prior = np.empty(len(target)), np.empty(len(target))
    for test in _folds(groups):
        learn = ~test
        strength = _strength(rows[learn], target[learn], groups[learn], fitted, loss)
        weights, bias = fitted(strength)(rows[learn], target[learn])
        raw[test] = rows[test] @ weights + bias
        prior[test] = constant(target[learn])
    return _strength(rows, target, groups, fitted, loss), raw, prior


def _strength(
    rows: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray,
    fitted: Callable[[float], Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]],
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> float:
    def lost(strength: float) -> float:
        total = 0.0
        for test in _folds(groups):
            weights, bias = fitted(strength)(rows[~test], target[~test])
            total += float(loss(rows[test] @ weights + bias, target[test]).sum())
        return total

    return min(_STRENGTHS, key=lost)


def _folds(groups: np.ndarray) -> list[np.ndarray]:
    """Masks of the videos held out; videos are dealt in the order of their names."""
    names, places = np.unique(groups, return_inverse=True)
    return [places % FOLDS == fold for fold in range(min(FOLDS, len(names)))]


def _judged(name: str, own: np.ndarray, prior: np.ndarray, groups: np.ndarray, margin: float) -> Judged:
    """The verdict over videos: what a video's scenes saved together, relative to the prior's mean loss."""
    _, places = np.unique(groups, return_inverse=True)
    saved = np.bincount(places, prior - own) / prior.sum() * (places.max() + 1)
    gain = float(saved.mean())
    least = gain - _SURE_Z * float(saved.std(ddof=1)) / np.sqrt(len(saved))
    judged = Judged(float(own.mean()), float(prior.mean()), gain, float(least), len(saved), len(own))
    if least < margin:
        raise HeadNotOffered(
            f"{name}: saves {gain:.1%} of the prior's loss on videos it has not seen, surely only "
            f"{least:.1%}, where {margin:.0%} is asked for"
        )
    return judged


def _logit(share: float) -> float:
    return float(np.log(max(share, 1e-6) / max(1 - share, 1e-6)))


def _head(values: dict[str, Any]) -> Head:
    return Head(**{**values, "weights": tuple(values["weights"]), "judged": Judged(**values["judged"])})
