"""A day of questions replayed: what the cache would have answered, learning as it goes.

A question that was asked before, word for word, is an exact hit. Otherwise its nearest neighbour among the
stored ones is judged by the policy in force. What is not served goes to the model, and so does, behind the
back of who asked, a hit that is checked: the model's answer is the class that the file names, it is stored,
and it tells whether the neighbour's would have been right.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from include.config.cache import CacheThresholds
from include.llm.cache.embedder import MiniLmEmbedder, Vectors
from include.llm.cache.evaluation import FIXED, Outcome
from include.llm.cache.evaluation_files import Asked
from include.llm.cache.promise.learning import Observations, learn
from include.llm.cache.promise.pairs import Pair, vector_features
from include.llm.cache.promise.policy import Policy
from include.llm.cache.promise.relearn import family_of
from include.llm.cache.promise.watch import verdict

# Neighbours known beforehand for each question; where none of them is stored, all are searched.
NEIGHBOURS = 48
BLOCK = 1_000
# Learn again when there is so much more to learn from.
GROWTH = 1.5
READ_AHEAD = 256


@dataclass(frozen=True)
class StreamEvaluation:
    """What became of a stream.

    Attributes:
        learnt: hits by the policy.
        checked: hits whose question went to the model all the same.
        wrong_checks: of the checked ones.
        relearnt, tightened: how often the policy was learnt, and made stricter by checks.
        embed_ms, decide_ms: median per question.
    """

    questions: int
    classes: int
    delta: float
    learnt: Outcome
    fixed: tuple[Outcome, ...]
    checked: int
    wrong_checks: int
    relearnt: int
    tightened: int
    embed_ms: float
    decide_ms: float


class _Seen(NamedTuple):
    pair: Pair
    right: bool
    weight: float
    score: float | None
    version: int
    was_served: bool
    family: int


class _Known(NamedTuple):
    """As the database tells it, of a neighbour."""

    similarity: float
    times_right: int
    times_wrong: int


def evaluate_stream(
    asked: Sequence[Asked],
    embedder: MiniLmEmbedder,
    settings: CacheThresholds,
    delta: float,
    tell: Callable[[str], None] = lambda _: None,
) -> StreamEvaluation:
    """Replay a stream by the policy, and by fixed thresholds.

    Args:
        tell: is given a sentence now and then.
    """
    began = time.perf_counter()
    vectors = embedder.embed([each.text for each in asked])
    embed_ms = (time.perf_counter() - began) * 1000 / len(asked)
    tell(f"{len(asked)} questions embedded in {time.perf_counter() - began:.0f} s")
    near = _Neighbours(vectors)
    fixed = tuple(_replay_fixed(asked, near, cut) for cut in FIXED)
    tell("fixed thresholds replayed")
    replay = _Replay(asked, near, embedder, settings, delta, tell)
    learnt = replay.run()
    return StreamEvaluation(
        questions=len(asked),
        classes=len({each.answer for each in asked}),
        delta=delta,
        learnt=learnt,
        fixed=fixed,
        checked=replay.checked,
        wrong_checks=replay.wrong_checks,
        relearnt=replay.relearnt,
        tightened=replay.tightened,
        embed_ms=embed_ms,
        decide_ms=float(np.median(replay.decide_s)) * 1000 if replay.decide_s else 0.0,
    )


class _Neighbours:
    """The nearest stored one among the questions asked before, exactly."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self._nearest = np.full((len(vectors), NEIGHBOURS), -1, dtype=np.int32)
        for begin in range(0, len(vectors), BLOCK):
            end = min(begin + BLOCK, len(vectors))
            likeness = vectors[begin:end] @ vectors[:end].T
            later = np.arange(end)[None, :] >= np.arange(begin, end)[:, None]
            likeness[later] = -2
            count = min(NEIGHBOURS, end)
            best = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
            order = np.argsort(-np.take_along_axis(likeness, best, axis=1), axis=1, kind="stable")
            self._nearest[begin:end, :count] = np.take_along_axis(best, order, axis=1)

    def of(self, place: int, stored: npt.NDArray[np.bool_]) -> tuple[int, float] | None:
        """The nearest stored question and its cosine; None: nothing is stored yet."""
        for other in self._nearest[place]:
            if 0 <= other < place and stored[other]:
                return int(other), float(self.vectors[place] @ self.vectors[other])
        known = np.flatnonzero(stored[:place])
        if not len(known):
            return None
        likeness = self.vectors[known] @ self.vectors[place]
        best = int(np.argmax(likeness))
        return int(known[best]), float(likeness[best])


def _replay_fixed(asked: Sequence[Asked], near: _Neighbours, cut: float) -> Outcome:
    stored, answers = np.zeros(len(asked), dtype=bool), {}
    lookups = hits = wrong = exact = 0
    for place, each in enumerate(asked):
        if each.text in answers:
            exact += 1
            continue
        lookups += 1
        found = near.of(place, stored)
        if found is not None and found[1] >= cut:
            hits += 1
            wrong += asked[found[0]].answer != each.answer
        else:
            stored[place] = True
            answers[each.text] = each.answer
    return Outcome(f"{cut:.2f}", lookups, hits, wrong, exact)


class _Replay:
    """One run through the stream by the policy."""

    def __init__(
        self,
        asked: Sequence[Asked],
        near: _Neighbours,
        embedder: MiniLmEmbedder,
        settings: CacheThresholds,
        delta: float,
        tell: Callable[[str], None],
    ) -> None:
        self._asked, self._near, self._embedder = asked, near, embedder
        self._settings, self._delta, self._tell = settings, delta, tell
        self._stored = np.zeros(len(asked), dtype=bool)
        self._policy: Policy | None = None
        self._version = 0
        self._seen: list[_Seen] = []
        self._of_entry: dict[int, list[tuple[float, bool]]] = {}
        self._learn_at = settings.learn_from
        self._chances = random.Random(7)
        self.checked = self.wrong_checks = self.relearnt = self.tightened = 0
        self.decide_s: list[float] = []

    def run(self) -> Outcome:
        answers: dict[str, str] = {}
        lookups = hits = wrong = exact = 0
        for place, each in self._read_ahead():
            if each.text in answers:
                exact += 1
                continue
            lookups += 1
            found = self._near.of(place, self._stored)
            if found is not None:
                began = time.perf_counter()
                pair = self._pair(place, *found)
                served, check, weight, score = self._decide(pair, found)
                self.decide_s.append(time.perf_counter() - began)
                is_right = self._asked[found[0]].answer == each.answer
                if served:
                    # Also a hit that is checked reaches who asked; the model is asked behind their back.
                    hits += 1
                    wrong += not is_right
                if served and not check:
                    continue
                family = family_of(self._asked[found[0]].text)
                seen = _Seen(pair, is_right, weight, score, self._version, served, family)
                self._observe(found, seen)
            self._stored[place] = True
            answers[each.text] = each.answer
        return Outcome("learnt", lookups, hits, wrong, exact)

    def _read_ahead(self) -> Iterator[tuple[int, Asked]]:
        for begin in range(0, len(self._asked), READ_AHEAD):
            part = self._asked[begin : begin + READ_AHEAD]
            self._embedder.remember([each.text for each in part])
            yield from enumerate(part, start=begin)

    def _pair(self, place: int, other: int, cosine: float) -> Pair:
        seen = self._of_entry.get(other, ())
        known = _Known(
            cosine,
            sum(right for similarity, right in seen if similarity <= cosine),
            sum(not right for similarity, right in seen if similarity >= cosine),
        )
        halves = self._near.vectors[[place, other]].astype(np.float16)
        return Pair.of(self._asked[place].text, halves[0], self._asked[other].text, halves[1], known)

    def _decide(self, pair: Pair, found: tuple[int, float]) -> tuple[bool, bool, float, float | None]:
        if self._policy is None:
            return False, False, 1.0, None
        score = self._policy.score(pair)
        seen = self._of_entry.get(found[0], ())
        share = self._policy.share_checked(self._settings.check_share, self._settings.learn_thoroughly)
        decision = self._policy.decide(
            score,
            sum(right for similarity, right in seen if similarity <= found[1]),
            sum(not right for similarity, right in seen if similarity >= found[1]),
            check_share=share,
            chances=(self._chances.random(), self._chances.random()),
        )
        return decision.serve, decision.check, decision.weight, score

    def _observe(self, found: tuple[int, float], seen: _Seen) -> None:
        self._seen.append(seen)
        self._of_entry.setdefault(found[0], []).append((found[1], seen.right))
        if seen.was_served:
            self.checked += 1
            self.wrong_checks += not seen.right
            if not seen.right:
                self._tighten()
        if len(self._seen) >= self._learn_at:
            self._learn()

    def _tighten(self) -> None:
        assert self._policy is not None  # noqa: S101 - something was served
        since: list[Any] = [
            {
                "was_served": each.was_served,
                "was_right": each.right,
                "weight": each.weight,
                "score": each.score,
            }
            for each in self._seen
            if each.score is not None and each.version >= self._policy.since
        ]
        threshold, why = verdict(self._policy, since)
        if threshold > self._policy.threshold:
            self.tightened += 1
            self._version += 1
            self._policy = self._policy.raised_to(threshold)
            if not np.isfinite(threshold):
                self._tell(f"after {len(self._seen)} observations: exact hits only ({why})")

    def _learn(self) -> None:
        self._learn_at = int(len(self._seen) * GROWTH)
        rows = self._seen[-self._settings.learn_most :]
        sides = np.stack([each.pair.vectors for each in rows])
        seen = Observations(
            features=np.stack([each.pair.features for each in rows]),
            vectors=vector_features(sides[:, 0], sides[:, 1]),
            right=np.array([each.right for each in rows]),
            weights=np.array([each.weight for each in rows]),
            groups=np.array([each.family for each in rows]),
        )
        self.relearnt += 1
        self._version += 1
        learnt = learn(seen, self._delta, confidence=self._settings.confidence)
        self._policy = replace(learnt, since=self._version)
        self._tell(
            f"after {len(self._seen)} observations: will serve {learnt.calibration.hit_share:.2%} of lookups"
        )
