"""Which of the platform's hook types opens an ad: asked live, or queued for the night with the same question.

Nothing in a hook is an account's own, so its answer is everybody's; whoever asks first pays.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine

from include.config import Thresholds
from include.config.platform import HookType
from include.llm.cached import AsyncCachedLLM, CachedLLM, Reply
from include.llm.questions import hook_question
from include.llm.requests import Enqueueing, enqueue


@dataclass(frozen=True)
class HookClass:
    """What a hook was found to be.

    Attributes:
        confidence: of the model, from 0 to 1.
        reply: how the answer was come by.
    """

    hook_type: HookType
    confidence: float
    reply: Reply


def classify_hook(llm: CachedLLM, words: str, *, tenant: str) -> HookClass:
    """The type of a hook.

    Args:
        tenant: the account that pays, where the model has to be asked.

    Raises:
        RequestInvalid: the hook is empty or longer than a hook can be. Others as `CachedLLM.ask`.
    """
    return _class(llm.ask(hook_question(words, tenant, llm.settings)))


async def classify_hook_async(llm: AsyncCachedLLM, words: str, *, tenant: str) -> HookClass:
    """See `classify_hook`."""
    return _class(await llm.ask(hook_question(words, tenant, llm.settings)))


def queue_hooks(
    engine: Engine, hooks: Iterable[tuple[str, str]], *, tenant: str, day: date, settings: Thresholds
) -> Enqueueing:
    """Have hooks classified tonight at half the price; tomorrow `classify_hook` knows their answers.

    Args:
        hooks: (subject, words), such as a creative's id and its first words.

    Raises:
        RequestInvalid: one of the hooks is none; nothing is queued.
    """
    requests = [hook_question(words, tenant, settings).as_request(subject) for subject, words in hooks]
    with engine.begin() as conn:
        return enqueue(conn, requests, day, settings)


def _class(reply: Reply) -> HookClass:
    told: dict[str, Any] = reply.answer
    return HookClass(HookType(told["hook_type"]), float(told["confidence"]), reply)
