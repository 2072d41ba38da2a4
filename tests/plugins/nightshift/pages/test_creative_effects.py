"""The page about pictures: behind Airflow's login, what to do and what to avoid, safe with others' words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Engine

from include.db.creative_effects import CreativeEffectReport, store_report
from tests.include.db.test_creative_effects import EFFECT

NUMBERS = {
    "creatives": 900,
    "analysed": 12,
    "since": "2025-12-09",
    "until": "2026-03-08",
    "left_out": {"tag:<i>box</i>": "it cannot be told apart from other features: they go together"},
}
EVERYWHERE = replace(EFFECT, niche="all", size=0.31)
HARMFUL = replace(EVERYWHERE, level="<b>statistic</b>", size=-0.2, size_low=-0.3, size_high=-0.1, alone=-0.2)
UNSURE = replace(EVERYWHERE, level="story_hook", is_found=False)


def keep(db: Engine, outcome: str = "clicks", effects: tuple = (EFFECT, EVERYWHERE, HARMFUL, UNSURE)) -> None:
    report = CreativeEffectReport(date(2026, 3, 8), outcome, f"Summary of {outcome}.", NUMBERS)
    store_report(db, report, [replace(effect, outcome=outcome) for effect in effects])


def test_nobody_reads_it_without_logging_in(airflow_app: Any) -> None:
    assert airflow_app.get("/nightshift/pictures").status_code == 401


def test_an_empty_house_says_what_will_be_there(visitor: Any) -> None:
    page = visitor.get("/nightshift/pictures")
    assert page.status_code == 200
    assert "No report yet" in page.text


def test_what_to_do_and_what_to_avoid_are_listed_with_their_evidence(db: Engine, visitor: Any) -> None:
    keep(db)
    page = visitor.get("/nightshift/pictures").text
    do, avoid = page.split("<h2>Do</h2>")[1].split("<h2>Avoid</h2>")
    assert "Use hook &#39;question&#39;: 31 % more clicks than the average creative (+10 % to +30 %)." in do
    assert "40 creatives of 4 accounts; 3 of 4 that can tell by themselves agree." in do
    assert (
        "Avoid hook &#39;&lt;b&gt;statistic&lt;/b&gt;&#39;: 20 % fewer clicks"
        in avoid.split("All that was asked")[0]
    )
    assert "not sure" in page
    assert "3 effects, clearest first" in page
    assert "Summary of clicks." in page
    assert "12 of the creatives shown have an analysed video" in page
    assert "&lt;i&gt;box" in page
    assert "<b>statistic" not in page


def test_a_niche_and_an_outcome_are_chosen_by_links(db: Engine, visitor: Any) -> None:
    keep(db)
    keep(db, "conversions", (replace(EFFECT, size=0.4),))
    page = visitor.get("/nightshift/pictures").text
    assert 'href="?outcome=clicks&amp;niche=food">food (1)</a>' in page
    assert 'href="?outcome=conversions&amp;niche=all">conversions</a>' in page
    food = visitor.get("/nightshift/pictures?niche=food&outcome=conversions").text
    assert "40 % more conversions" in food
    assert "Nothing was found that surely harms." in food


def test_a_niche_that_is_none_shows_all_and_nonsense_is_refused(db: Engine, visitor: Any) -> None:
    keep(db)
    assert "all niches (2)</span>" in visitor.get("/nightshift/pictures?niche=nowhere").text
    assert "<script>alert" not in visitor.get("/nightshift/pictures?niche=%3Cscript%3Ealert").text
    # As an imported account may be named.
    assert visitor.get("/nightshift/pictures?niche=Health+%26+Beauty%2C+D2C").status_code == 200
    assert visitor.get("/nightshift/pictures?outcome=likes").status_code == 422
