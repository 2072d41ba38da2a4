"""What is found is said in sentences that a person can act on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml.features.creative_effects import CreativeEffect, CreativeEffects
from ml.features.creative_findings import advice, evidence, feature_words, sentence, summary

EFFECT = CreativeEffect(
    niche="all",
    feature="text_area",
    shape="straight",
    level="",
    outcome="clicks",
    low=0.05,
    middle=0.15,
    high=0.4,
    size=-0.12,
    size_low=-0.2,
    size_high=-0.04,
    alone=-0.14,
    p_value=0.001,
    q_value=0.01,
    is_found=True,
    creatives=1200,
    accounts=40,
    accounts_agreeing=18,
    accounts_telling=20,
)
HOOK = replace(
    EFFECT, feature="hook_type", shape="level", level="curiosity_gap", low=None, middle=None, high=None,
    size=0.3, size_low=0.2, size_high=0.41,
)  # fmt: skip


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (EFFECT, "Avoid much text in the picture (40 % rather than 5 %): 12 % fewer clicks (-20 % to -4 %)."),
        (
            replace(EFFECT, feature="motion", size=0.1, size_low=0.05, size_high=0.15, outcome="conversions"),
            "Have more motion (0.4 rather than 0.05): 10 % more conversions (+5 % to +15 %).",
        ),
        (
            replace(EFFECT, feature="duration_s", shape="hump", low=8, middle=20, high=45.5, size=0.1),
            "Keep duration in the middle (about 20 s rather than 8 s or 45.5 s): "
            "10 % more clicks (-20 % to -4 %).",
        ),
        (
            replace(EFFECT, shape="hump"),
            "Avoid the middle in text in the picture (go to 5 % or 40 % rather than 15 %): "
            "12 % fewer clicks (-20 % to -4 %).",
        ),
        (HOOK, "Use hook 'curiosity gap': 30 % more clicks than the average creative (+20 % to +41 %)."),
        (
            replace(EFFECT, feature="tag:price_tag", shape="tag", level="price_tag"),
            "Avoid tag 'price tag': 12 % fewer clicks than without (-20 % to -4 %).",
        ),
    ],
)
def test_an_effect_is_advice_with_its_size_and_interval(effect, told):
    assert sentence(effect) == told


def test_the_evidence_counts_creatives_and_accounts_that_agree():
    assert evidence(EFFECT) == "1,200 creatives of 40 accounts; 18 of 20 that can tell by themselves agree"
    assert evidence(replace(EFFECT, accounts=1, accounts_telling=0)).endswith("no account can tell by itself")
    one = replace(EFFECT, accounts_telling=1, accounts_agreeing=0)
    assert evidence(one).endswith("1 account can tell by itself, and says the opposite")
    assert evidence(replace(one, accounts_agreeing=1)).endswith("and agrees")


def test_advice_lists_what_surely_changes_most_first_and_what_to_avoid_too():
    sure = replace(HOOK, level="question", size=0.25, size_low=0.22)
    worse = replace(EFFECT, feature="motion", size_high=-0.08)
    unsure = replace(HOOK, level="story_hook", is_found=False)
    elsewhere = replace(HOOK, niche="food")
    lists = advice([HOOK, sure, EFFECT, worse, unsure, elsewhere])
    assert lists.do == (sure, HOOK)
    assert lists.avoid == (worse, EFFECT)
    assert advice([HOOK, elsewhere], "food").do == (elsewhere,)


def test_the_summary_names_best_and_worst_or_says_why_there_is_none():
    told = summary(CreativeEffects("clicks", (HOOK, EFFECT), {}, 1200, 40, 15))
    assert told == (
        "2 of 2 effects on clicks were found, by 1,200 creatives of 40 accounts in 15 niches. "
        "Everywhere best: hook: curiosity gap (+30 %). Everywhere worst: text in the picture (-12 %)."
    )
    assert "nothing can be told yet: 3 creatives" in summary(CreativeEffects("clicks", creatives=3))
    assert feature_words(replace(EFFECT, shape="hump")) == "text in the picture in the middle"
