"""The AI council: models of different vendors judge a creative by the same rubric, and their scores become
one.

The combined score is the weighted mean of the members that answered, without those that stand far from
the median of all: one vendor that is down or one model that goes astray does not move it much. How far the
members lie apart is told, and that they are of two minds where it is too far.

Each member's answers have a namespace of their own in the cache. The same questions can be queued for the
night, so that tomorrow's live council is answered from the batches.
"""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from include.config import Thresholds
from include.config.clients import CouncilMember, CouncilThresholds
from include.errors import NightshiftError
from include.llm.cached import AsyncCachedLLM, CachedLLM, Reply
from include.llm.errors import CouncilWithoutVerdict
from include.llm.questions import council_question
from include.llm.requests import Enqueueing, enqueue
from include.llm.rubric import CRITERIA

# From so many answers on one of them can be told to be the odd one.
LEAST_FOR_AN_OUTLIER = 3


@dataclass(frozen=True)
class Opinion:
    """What one member says.

    Attributes:
        model: as `provider/model`.
        overall, criteria: from 0 to 100.
        counts: whether it is part of the combined score; an outlier is not.
        reply: how the answer was come by.
    """

    model: str
    overall: int
    criteria: Mapping[str, int]
    critique: str = field(repr=False)
    counts: bool
    reply: Reply


@dataclass(frozen=True)
class Verdict:
    """What the council says.

    Attributes:
        score: from 0 to 100.
        criteria: likewise, by name.
        opinions: of the members that answered, in the order of the thresholds.
        absent: the others, with the reason.
        spread: points between the highest and the lowest overall score of all that answered.
        of_two_minds: whether that is too far to trust the score.
    """

    score: float
    criteria: Mapping[str, float]
    opinions: tuple[Opinion, ...]
    absent: Mapping[str, str]
    spread: int
    of_two_minds: bool

    @property
    def paid_usd(self) -> Decimal:
        """What the vendors charge for it."""
        return sum((opinion.reply.paid_usd for opinion in self.opinions), Decimal(0))

    @property
    def told(self) -> str:
        """One sentence for people."""
        count = len(self.opinions)
        parts = [f"{self.score:.0f} of 100 by {count} model{'s' if count != 1 else ''}"]
        if self.of_two_minds:
            parts.append(f"of two minds: {self.spread} points apart")
        parts += [
            f"{opinion.model} stands apart with {opinion.overall} and does not count"
            for opinion in self.opinions
            if not opinion.counts
        ]
        parts += [f"{model} did not answer" for model in self.absent]
        return "; ".join(parts)


async def judge(
    llm: AsyncCachedLLM, creative: Mapping[str, Any], *, tenant: str, tags: Sequence[str] = ()
) -> Verdict:
    """Ask all members at once.

    Args:
        creative: any of `scoring.FIELDS`; a hook and a persona are enough.
        tenant: the account it is asked for.

    Raises:
        RequestInvalid: nothing of the creative is given.
        CouncilWithoutVerdict: fewer members answered than `llm.council.least_members`.
    """
    members = llm.settings.llm.council.members
    questions = [council_question(creative, tenant, member, llm.settings) for member in members]
    answers = await asyncio.gather(
        *(llm.ask(question, tags=tags) for question in questions), return_exceptions=True
    )
    return combined(dict(zip(members, answers, strict=True)), llm.settings.llm.council)


def judge_with(
    llm: CachedLLM, creative: Mapping[str, Any], *, tenant: str, tags: Sequence[str] = ()
) -> Verdict:
    """The same from a thread, one member after the other. See `judge`."""
    members = llm.settings.llm.council.members
    questions = [council_question(creative, tenant, member, llm.settings) for member in members]
    answers: dict[CouncilMember, Reply | BaseException] = {}
    for member, question in zip(members, questions, strict=True):
        try:
            answers[member] = llm.ask(question, tags=tags)
        except NightshiftError as error:
            answers[member] = error
    return combined(answers, llm.settings.llm.council)


def queue_council(
    engine: Engine,
    creatives: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    tenant: str,
    day: date,
    settings: Thresholds,
    priority: Decimal = Decimal(0),
) -> Enqueueing:
    """Have the council judge creatives tonight at half the price; tomorrow `judge` knows the answers.

    Args:
        creatives: (subject, creative), such as a creative's id and what is known of it.

    Raises:
        RequestInvalid: nothing of one of them is given; nothing is queued.
    """
    requests = [
        council_question(creative, tenant, member, settings).as_request(subject, priority=priority)
        for subject, creative in creatives
        for member in settings.llm.council.members
    ]
    with engine.begin() as conn:
        return enqueue(conn, requests, day, settings)


def combined(answers: Mapping[CouncilMember, Reply | BaseException], settings: CouncilThresholds) -> Verdict:
    """One verdict from what the members said.

    Raises:
        CouncilWithoutVerdict: too few said anything.
    """
    for error in answers.values():
        if isinstance(error, BaseException) and not isinstance(error, NightshiftError):
            raise error
    absent = {str(member): str(said) for member, said in answers.items() if isinstance(said, BaseException)}
    replies = {member: said for member, said in answers.items() if isinstance(said, Reply)}
    if len(replies) < settings.least_members:
        raise CouncilWithoutVerdict(
            f"{len(replies)} of {len(answers)} members of the council answered, {settings.least_members} are "
            f"needed; {'; '.join(absent.values())}"
        )
    scores = {member: int(reply.answer["overall"]) for member, reply in replies.items()}
    middle = statistics.median(scores.values())
    can_be_odd = len(scores) >= LEAST_FOR_AN_OUTLIER
    counting = [m for m, score in scores.items() if not can_be_odd or abs(score - middle) <= settings.outlier]
    if not counting:
        # All stand far from the middle of nobody: an even number in two camps.
        counting = list(scores)
    spread = max(scores.values()) - min(scores.values())
    return Verdict(
        score=_mean(counting, scores),
        criteria={
            name: _mean(counting, {member: replies[member].answer[name] for member in counting})
            for name in CRITERIA
        },
        opinions=tuple(
            Opinion(
                model=str(member),
                overall=scores[member],
                criteria={name: int(reply.answer[name]) for name in CRITERIA},
                critique=str(reply.answer["critique"]),
                counts=member in counting,
                reply=reply,
            )
            for member, reply in replies.items()
        ),
        absent=absent,
        spread=spread,
        of_two_minds=spread > settings.disagreement,
    )


def _mean(members: Sequence[CouncilMember], scores: Mapping[CouncilMember, int]) -> float:
    total = sum(member.weight for member in members)
    return round(sum(member.weight * scores[member] for member in members) / total, 2)
