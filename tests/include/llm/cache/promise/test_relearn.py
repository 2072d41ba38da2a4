from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from include.llm.cache import LookupKind
from include.llm.cache.promise.relearn import relearn, relearn_all, teach
from include.llm.cache.promise.watch import watch
from tests.benchmarks.cache_questions import PHRASINGS, labelled
from tests.include.llm.cache.conftest import TASK, answered

INTENT = {"product": "running shoes", "audience": "students", "aspect": "price"}


@pytest.fixture
def taught(make_cache, db, embedder):
    """A cache with one entry, taught by labelled pairs; checks are left out where not wanted."""

    def make(**changes):
        cache = make_cache(check_share=1e-9, learn_thoroughly=1, **changes)
        space = cache.namespace(**TASK)
        cache.store(space, answered("k1", PHRASINGS[0].format(**INTENT)))
        number = cache.look_up(space, "x", "k1").namespace_id
        teach(db, number, labelled(1_500), embedder)
        learnt = relearn(db, number, cache.settings)
        assert learnt is not None
        return cache, space, number, learnt

    return make


def one(db, query: str):
    with db.connect() as conn:
        return conn.execute(text(query)).one()


def test_after_learning_a_question_in_other_words_is_answered_and_another_is_not(taught):
    cache, space, _, learnt = taught()
    same = cache.look_up(space, PHRASINGS[1].format(**INTENT), "k2")
    other = cache.look_up(space, PHRASINGS[0].format(**{**INTENT, "product": "solar panels"}), "k3")
    assert same.kind is LookupKind.SEMANTIC
    assert same.answer == {"text": "yes"}
    assert other.kind is LookupKind.MISS
    assert "at most" in learnt.told
    assert learnt.wrong_bound <= 0.01


def test_a_hit_to_be_checked_saves_no_call_and_is_counted_when_the_model_has_answered(taught, make_cache, db):
    taught()
    cache = make_cache(check_share=0.999999)
    space = cache.namespace(**TASK)
    found = cache.look_up(space, PHRASINGS[1].format(**INTENT), "k2")
    assert found.kind is LookupKind.SEMANTIC
    assert found.check
    assert not found.is_hit
    cache.flush()
    cache.observe(found, was_right=True)
    cache.flush()
    told = one(db, "SELECT semantic_hits, checked, wrong, saved_usd FROM llm.cache_per_day")
    assert tuple(told) == (1, 1, 0, 0)
    kind = one(
        db, "SELECT kind, version, score FROM llm.cache_observation ORDER BY observation_id DESC LIMIT 1"
    )
    assert kind[:2] == ("check", 1)
    assert kind[2] == pytest.approx(found.score)


def test_an_entry_that_proved_wrong_is_not_served_to_such_a_question_again(taught):
    cache, space, _, _ = taught()
    question = PHRASINGS[1].format(**INTENT)
    found = cache.look_up(space, question, "k2")
    assert found.kind is LookupKind.SEMANTIC
    # As if it had been a miss, so that the threshold stays as it is.
    cache.observe(replace(found, kind=LookupKind.MISS), was_right=False)
    cache.flush()
    assert cache.look_up(space, question, "k2").kind is LookupKind.MISS


def test_checks_that_come_back_wrong_make_a_namespace_answer_exact_hits_only_until_it_has_learnt(taught, db):
    cache, space, number, _ = taught()
    question = PHRASINGS[1].format(**INTENT)
    found = replace(cache.look_up(space, question, "k2"), check=True, weight=20.0)
    for _ in range(12):
        cache.observe(found, was_right=False)
    cache.flush()
    shut = one(db, "SELECT shut_at IS NOT NULL, shut_why, version FROM llm.cache_namespace")
    assert shut[0]
    assert "12 of 12 checked hits were wrong" in shut[1]
    assert cache.look_up(space, question, "k2").kind is LookupKind.MISS
    assert cache.look_up(space, "not read", "k1").kind is LookupKind.EXACT
    assert not watch(db, number, cache.settings)
    (again,) = relearn_all(db, cache.settings)
    assert again.observations == 1_512
    opened = one(db, "SELECT shut_at IS NULL, version FROM llm.cache_namespace")
    assert tuple(opened) == (True, shut[2] + 1)
    assert relearn_all(db, cache.settings) == []
    history = one(db, "SELECT count(*), min(version), max(version) FROM llm.cache_policy")
    assert tuple(history) == (3, 1, 3)


def test_misses_teach_without_labels(make_cache, db):
    cache = make_cache(learn_from=50)
    space = cache.namespace(**TASK)
    for n, pair in enumerate(labelled(60)):
        cache.store(space, answered(f"s{n}", pair.a))
        cache.observe(cache.look_up(space, pair.b, "none such"), was_right=pair.is_same)
    cache.flush()
    (learnt,) = relearn_all(db, cache.settings)
    assert learnt.observations == 60
    assert learnt.told.endswith("60 observations are too few; exact hits only")


def test_too_few_observations_learn_nothing(cache, space, db):
    cache.store(space, answered("k1", "One"))
    number = cache.look_up(space, "One", "k1").namespace_id
    assert relearn(db, number, cache.settings) is None
    assert relearn(db, 999, cache.settings) is None
