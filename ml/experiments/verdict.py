"""What to do with a challenger today: a decision, one paragraph for people, and the numbers.

Harm may stop an experiment on any day. A promotion waits for full weeks, for the confidence sequence, for an
effect worth it and for the guardrails. A broken split says that nothing of it can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ml.experiments.evidence import Evidence, weigh
from ml.experiments.guardrails import Guardrail
from ml.experiments.observations import ExperimentData
from ml.experiments.settings import ExperimentSettings


class Decision(StrEnum):
    """What follows."""

    PROMOTE = "promote"
    KEEP_CHAMPION = "keep_champion"
    EXTEND = "extend"
    STOP_FOR_HARM = "stop_for_harm"
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """One day's judgement.

    Attributes:
        decision: what follows.
        paragraph: why, for someone who knows no statistics.
        numbers: what it rests on, ready for JSON: finite numbers only, an unknown one is left out.
    """

    decision: Decision
    paragraph: str
    numbers: dict[str, float]


def judge(
    observed: ExperimentData,
    settings: ExperimentSettings,
    *,
    day_number: int,
    guardrails: Sequence[Guardrail] = (),
) -> Verdict:
    """Judge the experiment as it stands. Never fails on thin or degenerate data: it then says so.

    Args:
        observed: both arms, by unit, summed from the first day to the last full one.
        settings: the plan.
        day_number: full days so far; below 1 nothing was observed and the answer is to go on.
        guardrails: what may not suffer.
    """
    evidence = weigh(observed, settings, day_number=max(day_number, 1))
    complaints = [guardrail.complaint for guardrail in guardrails if guardrail.complaint]
    decision, paragraph = _decided(evidence, settings, day_number, complaints, len(guardrails))
    numbers = {
        "day": float(day_number),
        "guardrails": float(len(guardrails)),
        "guardrails_violated": float(len(complaints)),
        **evidence.numbers(),
    }
    return Verdict(decision, paragraph, numbers)


def _decided(
    seen: Evidence, settings: ExperimentSettings, day: int, complaints: list[str], guardrails: int
) -> tuple[Decision, str]:
    last = day >= settings.max_days
    if seen.ratio.mismatch:
        return Decision.INVALID, (
            f"Something is wrong with the split, so the result cannot be used: {seen.ratio.sentence}"
            f" Repair it and start again."
        )
    if seen.unusable:
        then = "the champion stays" if last else f"we go on until day {settings.max_days} at the latest"
        return (Decision.KEEP_CHAMPION if last else Decision.EXTEND), (
            f"After {_days(day)} nothing can be told: {seen.unusable}. So {then}."
        )
    if seen.low > settings.harm_effect * seen.champion.mean:
        return Decision.STOP_FOR_HARM, (
            f"Stop: the challenger predicts worse. {_measured(seen, day)} That is more than the"
            f" {_percent(settings.harm_effect)} of worsening we accept. All traffic returns to the champion."
        )
    obstacles = _obstacles(seen, settings, day, complaints)
    if not obstacles:
        kept = f" {_guardrails(guardrails)}" if guardrails else ""
        return Decision.PROMOTE, f"Promote the challenger: it predicts better. {_measured(seen, day)}{kept}"
    told = f"{_measured(seen, day)} Against a promotion: {'; '.join(obstacles)}."
    if last:
        return Decision.KEEP_CHAMPION, f"Keep the champion. {told} {_not_seen(seen)}"
    return Decision.EXTEND, f"Go on. {told} {_outlook(seen, settings, day)}"


def _obstacles(seen: Evidence, settings: ExperimentSettings, day: int, complaints: list[str]) -> list[str]:
    """What stands against a promotion, as clauses."""
    obstacles = []
    if not seen.high < 0:
        obstacles.append("the difference may still be chance")
    elif not seen.test.p_value < settings.alpha:
        obstacles.append(f"a single look at the end would not be sure either (p = {seen.test.p_value:.2g})")
    elif not -seen.test.relative >= settings.min_effect:
        obstacles.append(f"less than {_percent(settings.min_effect)} better is not worth the change")
    if day < settings.min_days:
        obstacles.append(f"{settings.min_days} full days are needed, as weekdays differ")
    return obstacles + complaints


def _measured(seen: Evidence, day: int) -> str:
    relative = seen.test.relative
    direction = "lower" if relative < 0 else "higher"
    low, high = (_percent(end / seen.champion.mean, signed=True) for end in (seen.low, seen.high))
    return (
        f"After {_days(day)} its prediction error is {_percent(abs(relative))} {direction} than the"
        f" champion's ({seen.challenger.mean:.4g} against {seen.champion.mean:.4g} an impression, from"
        f" {seen.challenger.units:,} and {seen.champion.units:,} units). Allowing for chance, and for our"
        f" looking every day, the true change lies between {low} and {high}."
    )


def _not_seen(seen: Evidence) -> str:
    if seen.high < 0:
        return "The time is up."
    return (
        "The time is up, and no difference large enough to be seen was there; the smallest one this traffic"
        f" could show is {_percent(seen.smallest)}."
    )


def _outlook(seen: Evidence, settings: ExperimentSettings, day: int) -> str:
    """How long it may take."""
    left = settings.max_days - day
    if seen.high < 0:
        wait = max(settings.min_days - day, 1)
        return f"It needs {_days(wait, more=True)} at least; the last day is day {settings.max_days}."
    if seen.test.difference >= 0:
        return f"So far nothing speaks for the challenger; we look daily until day {settings.max_days}."
    needed = max(_days_needed(seen, settings, day), settings.min_days - day)
    if needed > left:
        return (
            f"At this pace the {_days(left, more=True)} that are left are too few; to be seen today a"
            f" challenger would have to be about {_percent(seen.smallest)} better."
        )
    return f"If the difference stays as it is, it needs about {_days(needed, more=True)}."


def _days_needed(seen: Evidence, settings: ExperimentSettings, day: int) -> int:
    """Days until the sequence would exclude 0 at this difference and traffic; beyond the last if later."""
    if seen.sequence is None:
        return settings.max_days
    ahead = np.arange(day + 1, settings.max_days + 2)
    half = seen.sequence.half_width(seen.variance * day / ahead, seen.degrees)
    clear = ahead[half < abs(seen.test.difference)]
    return int(clear[0]) - day if len(clear) else settings.max_days


def _guardrails(count: int) -> str:
    return "The guardrail held." if count == 1 else f"All {count} guardrails held."


def _days(count: int, *, more: bool = False) -> str:
    return f"{count} {'more' if more else 'full'} {'day' if count == 1 else 'days'}"


def _percent(share: float, *, signed: bool = False) -> str:
    """In per cent, with what matters of it: 0.123 % but 35 %."""
    percent = share * 100
    digits = max(0, 1 - math.floor(math.log10(abs(percent)))) if percent and math.isfinite(percent) else 0
    return f"{percent:{'+' if signed else ''},.{min(digits, 3)}f} %"
