"""What was found about creatives, in sentences: what to do, what to avoid, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ml.features.creative_cells import EVERYWHERE
from ml.features.creative_definitions import FEATURES_BY_NAME, TAGS
from ml.features.creative_effects import CreativeEffect, CreativeEffects


@dataclass(frozen=True)
class Advice:
    """What to do or to avoid, clearest first."""

    do: tuple[CreativeEffect, ...]
    avoid: tuple[CreativeEffect, ...]


def advice(effects: Iterable[CreativeEffect], niche: str = EVERYWHERE) -> Advice:
    """What was found in a niche, by how much it surely changes."""
    found = [effect for effect in effects if effect.is_found and effect.niche == niche]
    winners = sorted((e for e in found if e.size > 0), key=lambda effect: -effect.size_low)
    losers = sorted((e for e in found if e.size < 0), key=lambda effect: effect.size_high)
    return Advice(tuple(winners), tuple(losers))


def sentence(effect: CreativeEffect) -> str:
    """An effect as advice: what, how much, with its interval."""
    return f"{_what(effect)}: {_size(effect)}."


def evidence(effect: CreativeEffect) -> str:
    """On what it rests."""
    told = f"{effect.creatives:,} creatives of {effect.accounts:,} {_plural('account', effect.accounts)}"
    if not effect.accounts_telling:
        return f"{told}; no account can tell by itself"
    if effect.accounts_telling == 1:
        agrees = "and agrees" if effect.accounts_agreeing else "and says the opposite"
        return f"{told}; 1 account can tell by itself, {agrees}"
    agree = f"{effect.accounts_agreeing:,} of {effect.accounts_telling:,}"
    return f"{told}; {agree} that can tell by themselves agree"


def feature_words(effect: CreativeEffect) -> str:
    """What an effect is of, such as `hook: curiosity gap`."""
    name, level = _named(effect)
    return f"{name}: {level}" if level else f"{name}{' in the middle' if effect.shape == 'hump' else ''}"


def summary(effects: CreativeEffects) -> str:
    """What one outcome's effects say, in two or three sentences."""
    if not effects.effects:
        have = f"{effects.creatives} creatives have enough of them"
        return f"On {effects.outcome} nothing can be told yet: {have}."
    told = (
        f"{len(effects.found)} of {len(effects.effects)} effects on {effects.outcome} were found, by "
        f"{effects.creatives:,} creatives of {effects.accounts:,} {_plural('account', effects.accounts)} in "
        f"{effects.niches} {_plural('niche', effects.niches)}."
    )
    lists = advice(effects.effects)
    for word, found in (("best", lists.do), ("worst", lists.avoid)):
        if found:
            told += f" Everywhere {word}: {feature_words(found[0])} ({_percent(found[0].size)})."
    return told


def _what(effect: CreativeEffect) -> str:
    name, level = _named(effect)
    sells = effect.size > 0
    if effect.shape == "straight":
        values = f"{_value(effect, effect.high)} rather than {_value(effect, effect.low)}"
        return f"{'Have more' if sells else 'Avoid much'} {name} ({values})"
    if effect.shape == "hump":
        ends = f"{_value(effect, effect.low)} or {_value(effect, effect.high)}"
        if sells:
            return f"Keep {name} in the middle (about {_value(effect, effect.middle)} rather than {ends})"
        return f"Avoid the middle in {name} (go to {ends} rather than {_value(effect, effect.middle)})"
    return f"{'Use' if sells else 'Avoid'} {name} '{level}'"


def _size(effect: CreativeEffect) -> str:
    than = {"level": " than the average creative", "tag": " than without"}.get(effect.shape, "")
    change = f"{100 * abs(effect.size):.0f} % {'more' if effect.size > 0 else 'fewer'} {effect.outcome}{than}"
    return f"{change} ({_percent(effect.size_low)} to {_percent(effect.size_high)})"


def _named(effect: CreativeEffect) -> tuple[str, str]:
    if effect.shape == "tag":
        return FEATURES_BY_NAME[TAGS].words, effect.level.replace("_", " ")
    feature = FEATURES_BY_NAME.get(effect.feature)
    return feature.words if feature else effect.feature.replace("_", " "), effect.level.replace("_", " ")


def _value(effect: CreativeEffect, value: float | None) -> str:
    if value is None:
        return "?"
    feature = FEATURES_BY_NAME.get(effect.feature)
    unit = feature.unit if feature else ""
    return f"{100 * value:.0f} %" if unit == "%" else f"{value:.3g}{unit}"


def _percent(size: float) -> str:
    return f"{100 * size:+.0f} %"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
