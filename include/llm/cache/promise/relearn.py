"""Learning namespaces anew from what was observed, for the nightly DAGs; and from labelled pairs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine, RowMapping

from include.config.cache import CacheThresholds
from include.db import llm_cache_log as log_sql
from include.db import llm_cache_promise as sql
from include.llm.cache.embedder import Embedder, default_embedder
from include.llm.cache.promise.learning import Observations, groups_of, learn
from include.llm.cache.promise.pairs import NAMES, pair_features, vector_features
from include.llm.errors import RequestInvalid

PAIRS_AT_ONCE = 512


@dataclass(frozen=True)
class Relearnt:
    """What one namespace learnt.

    Attributes:
        observations: it learnt from so many.
        hit_share: of lookups without an exact answer that it will serve.
        wrong_bound: upper confidence bound of wrong answers among all of those lookups.
    """

    namespace: str
    observations: int
    threshold: float
    hit_share: float
    wrong_bound: float

    @property
    def told(self) -> str:
        """One sentence for people."""
        if not np.isfinite(self.threshold):
            return f"{self.namespace}: {self.observations} observations are too few; exact hits only"
        return (
            f"{self.namespace}: serves {self.hit_share:.1%} of what has no exact answer, "
            f"at most {self.wrong_bound:.2%} wrong, by {self.observations} observations"
        )


@dataclass(frozen=True)
class LabelledPair:
    """Two questions, and whether one's answer is right for the other."""

    a: str
    b: str
    is_same: bool


def relearn(engine: Engine, namespace_id: int, settings: CacheThresholds) -> Relearnt | None:
    """Learn a namespace's policy from its newest observations; None where there are too few or none such."""
    with engine.connect() as conn:
        rows = sql.observations(conn, namespace_id, settings.learn_most)
        named = sql.policy(conn, namespace_id)
    usable = [row for row in rows if len(row["features"]) == len(NAMES)]
    if named is None or len(usable) < settings.learn_from:
        return None
    seen = observations_of(usable)
    policy = learn(seen, settings.false_hit_rate_of(named["task"]), confidence=settings.confidence)
    told = {**policy.as_json(), "since": named["version"] + 1}
    with engine.begin() as conn:
        current = sql.policy(conn, namespace_id)
        if current is None:
            return None
        told["since"] = current["version"] + 1
        sql.set_policy(conn, namespace_id, told, why="learnt", is_learnt=True, shuts=False)
    known = policy.calibration
    return Relearnt(named["name"], len(seen), policy.threshold, known.hit_share, known.wrong_bound)


def relearn_all(engine: Engine, settings: CacheThresholds) -> list[Relearnt]:
    """Learn every namespace that saw enough since it last did, or was shut since."""
    with engine.connect() as conn:
        waiting = sql.namespaces_to_learn(conn, settings.learn_from)
    learnt = [relearn(engine, row["namespace_id"], settings) for row in waiting]
    return [each for each in learnt if each is not None]


def teach(engine: Engine, namespace_id: int, pairs: Sequence[LabelledPair], embedder: Embedder) -> int:
    """Give a namespace labelled pairs of questions such as it is asked, as evidence to learn from.

    The pairs must be like what lookups meet: a question, and the nearest that was asked before.

    Returns:
        How many were added.
    """
    families = groups_of([(pair.a, pair.b) for pair in pairs])
    for first in range(0, len(pairs), PAIRS_AT_ONCE):
        part = pairs[first : first + PAIRS_AT_ONCE]
        features, vectors = compare(part, embedder)
        rows = [
            {
                "namespace_id": namespace_id, "entry_id": None, "kind": "label",
                "similarity": float(features[n, 0]), "features": features[n].round(6).tolist(),
                "vectors": vectors[n].astype("<f2").tobytes().hex(), "was_right": pair.is_same, "weight": 1.0,
                "score": None, "version": 0, "family": -1 - int(families[first + n]),
            }
            for n, pair in enumerate(part)
        ]  # fmt: skip
        with engine.begin() as conn:
            log_sql.add_observations(conn, rows)
    return len(pairs)


def compare(pairs: Sequence[LabelledPair], embedder: Embedder) -> tuple[np.ndarray, np.ndarray]:
    """Features of pairs, shape (n, features), and their vectors as half floats, shape (n, 2, dimensions)."""
    texts = [text for pair in pairs for text in (pair.a, pair.b)]
    reader = default_embedder()
    readings = reader.read_all(texts)
    if embedder.name == reader.name:
        vectors = np.stack([reading.vector for reading in readings]).astype(np.float16)
    else:
        vectors = embedder.embed(texts).astype(np.float16)
    sides = vectors.reshape(len(pairs), 2, -1)
    cosines = np.einsum("nd,nd->n", sides[:, 0].astype(np.float32), sides[:, 1].astype(np.float32))
    features = [
        pair_features(pair.a, pair.b, float(cosine), readings[2 * n], readings[2 * n + 1])
        for n, (pair, cosine) in enumerate(zip(pairs, cosines, strict=True))
    ]
    return np.array(features), sides


def observations_of(rows: Sequence[RowMapping]) -> Observations:
    """Rows of the database as arrays.

    Raises:
        RequestInvalid: vectors of different lengths are among them.
    """
    halves = [np.frombuffer(row["vectors"], dtype="<f2") for row in rows]
    if len({len(each) for each in halves}) != 1:
        raise RequestInvalid(
            "observations of one namespace hold vectors of different lengths; remove the older ones"
        )
    sides = np.stack(halves).reshape(len(rows), 2, -1)
    return Observations(
        features=np.array([row["features"] for row in rows], dtype=np.float64),
        vectors=vector_features(sides[:, 0], sides[:, 1]),
        right=np.array([row["was_right"] for row in rows], dtype=bool),
        weights=np.array([row["weight"] for row in rows], dtype=np.float64),
        groups=np.array([row["family"] for row in rows], dtype=np.int64),
    )


def family_of(question: str) -> int:
    """A number for all observations of one neighbour."""
    return int.from_bytes(hashlib.blake2b(question.encode("utf-8", "replace"), digest_size=7).digest())
