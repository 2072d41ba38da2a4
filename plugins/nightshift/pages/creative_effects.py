"""The page about pictures: what to do and to avoid in creatives, niche by niche, and on what evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from include.db.creative_effects import CreativeEffectReport, effects_of_report, newest_reports
from ml.features.creative_cells import EVERYWHERE
from ml.features.creative_effects import CreativeEffect
from ml.features.creative_findings import advice, evidence, feature_words, sentence

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Changes of this size or more fill a bar.
FULL_BAR = 0.5
LISTED = 12

# Any text: niches of imported accounts are named as people name them, and it is only looked up.
Niche = Annotated[str, Query(max_length=200)]
Outcome = Annotated[str, Query(pattern=r"^(clicks|conversions)$")]


@dataclass(frozen=True)
class EffectLine:
    """One effect, ready to be shown.

    Attributes:
        begin, end: of the interval's bar, per cent of its width; the middle is no change.
        point: of the size.
    """

    effect: CreativeEffect
    words: str
    sentence: str
    evidence: str
    begin: float
    end: float
    point: float


@dataclass(frozen=True)
class NicheLink:
    """A niche to choose, and how many effects were found there."""

    name: str
    words: str
    found: int


@dataclass(frozen=True)
class PicturesPage:
    """Everything on the page.

    Attributes:
        report: the newest of the outcome; None without any.
        do, avoid: what was found, clearest first.
        tested: all effects of the niche, clearest first.
    """

    report: CreativeEffectReport | None
    outcome: str
    outcomes: tuple[str, ...]
    niche: str
    niches: tuple[NicheLink, ...]
    do: tuple[EffectLine, ...]
    avoid: tuple[EffectLine, ...]
    tested: tuple[EffectLine, ...]


def picture_pages(page: Callable[..., Response], engine: Callable[[], Engine]) -> APIRouter:
    """The route.

    Args:
        page: renders a template by name.
        engine: on the `nightshift` database.
    """
    routes = APIRouter()

    @routes.get("/pictures", response_class=HTMLResponse)
    def pictures(niche: Niche = EVERYWHERE, outcome: Outcome = "clicks") -> Response:
        return page("pictures.html", it=pictures_page(engine(), niche, outcome), listed=LISTED)

    return routes


def pictures_page(engine: Engine, niche: str, outcome: str) -> PicturesPage:
    """What the newest report on an outcome says of a niche; of one it does not know, what it says of all."""
    reports = {report.outcome: report for report in newest_reports(engine)}
    report = reports.get(outcome)
    effects = effects_of_report(engine, report) if report else []
    niches = _niches(effects)
    if niche not in {each.name for each in niches}:
        niche = EVERYWHERE
    found = advice(effects, niche)
    here = sorted((each for each in effects if each.niche == niche), key=lambda each: each.q_value)
    return PicturesPage(
        report=report,
        outcome=outcome,
        outcomes=tuple(reports),
        niche=niche,
        niches=niches,
        do=tuple(map(_line, found.do)),
        avoid=tuple(map(_line, found.avoid)),
        tested=tuple(map(_line, here)),
    )


def _niches(effects: Sequence[CreativeEffect]) -> tuple[NicheLink, ...]:
    found: dict[str, int] = {}
    for effect in effects:
        found[effect.niche] = found.get(effect.niche, 0) + effect.is_found
    names = sorted(found, key=lambda name: (name != EVERYWHERE, name))
    return tuple(
        NicheLink(name, "all niches" if name == EVERYWHERE else name.replace("_", " "), found[name])
        for name in names
    )


def _line(effect: CreativeEffect) -> EffectLine:
    begin, end, point = (
        50 + 50 * max(-1.0, min(1.0, size / FULL_BAR))
        for size in (effect.size_low, effect.size_high, effect.size)
    )
    return EffectLine(
        effect,
        feature_words(effect),
        sentence(effect),
        evidence(effect),
        round(begin, 1),
        round(end, 1),
        round(point, 1),
    )
