from __future__ import annotations

import numpy as np

from include.llm.cache.promise.pairs import ALIGNED, LEXICAL, NAMES, aligned_features, pair_features


def told(embedder, a: str, b: str) -> dict[str, float]:
    cosine = float(embedder.embed([a])[0] @ embedder.embed([b])[0])
    return dict(zip(NAMES, pair_features(a, b, cosine, embedder.read(a), embedder.read(b)), strict=True))


def test_what_cosine_overlooks_is_seen(embedder):
    numbers = told(embedder, "Sell 5 boxes to parents", "Sell 50 boxes to parents")
    negated = told(embedder, "Should I use this hook?", "Should I not use this hook?")
    named = told(embedder, "Best hotels in Lisbon", "Best hotels in Porto")
    assert numbers["cosine"] > 0.85
    assert numbers["numbers_differ"] == 1
    assert negated["negation_differs"] == 1
    assert (
        named["lost_rare_max"]
        > told(embedder, "Best hotels in Lisbon", "Top hotels in Lisbon")["lost_rare_max"]
    )


def test_the_order_of_a_pair_does_not_matter(embedder):
    a, b = "How do I sell shoes to runners?", "What makes a marathoner buy new sneakers today?"
    there, back = told(embedder, a, b), told(embedder, b, a)
    assert all(abs(there[name] - back[name]) < 1e-5 for name in NAMES)


def test_the_same_question_has_nothing_that_is_lost(embedder):
    found = told(embedder, "Why stop scrolling?", "Why stop scrolling?")
    assert found["overlap"] == found["same_words"] == 1
    assert found["found_min"] > 0.999


def test_a_question_without_words_has_finite_features(embedder):
    for other in ("", "???", "Why?"):
        assert np.isfinite(list(told(embedder, "", other).values())).all()
    assert not aligned_features(embedder.read(""), embedder.read("Why?")).any()
    assert len(NAMES) == len(LEXICAL) + len(ALIGNED) + 2
