"""A question to a model, the same whether somebody waits for its answer or it can wait for the night.

Its key is that of the request queue and of the cache: what a batch answered tonight is an exact hit tomorrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from include.config import Thresholds
from include.config.clients import ModelName
from include.llm import hooks, rubric, scoring
from include.llm.bodies import Endpoint, Image, question_body
from include.llm.cache import Namespace
from include.llm.cache.lookup import EVERYBODY
from include.llm.errors import RequestInvalid
from include.llm.requests import LlmRequest, request_key
from include.llm.tasks import is_shared, words_of

# What of a vendor answers a question that does not say.
ENDPOINTS = {"anthropic": Endpoint.MESSAGES, "openai": Endpoint.CHAT}


@dataclass(frozen=True)
class Question:
    """One question. Make one with `question`, or with those below for the tasks of the house.

    Attributes:
        tenant: the account it is asked for, which pays, and whose answers it may read.
        task: what the answer is for; decides how it is read and compared.
        params: body of the vendor's call.
        answer_schema: JSON schema the answer has to meet, for tasks without a reader of their own.
        text_decides: pictures go along, but the words alone decide the answer.
    """

    tenant: str
    task: str
    prompt_version: str
    provider: str
    model: str
    endpoint: Endpoint
    params: Mapping[str, Any] = field(repr=False)
    answer_schema: Mapping[str, Any] | None = field(default=None, repr=False)
    text_decides: bool = False

    @cached_property
    def key(self) -> str:
        """Its canonical hash."""
        return request_key(self.provider, self.model, self.prompt_version, self.params, self.endpoint)

    @cached_property
    def words(self) -> str:
        """What it is compared by; empty where only the very same question may answer it."""
        return words_of(self.params, self.endpoint, ignoring_images=self.text_decides)

    def namespace(self, embedder: str) -> Namespace:
        """Where the cache keeps its answer."""
        tenant = EVERYBODY if is_shared(self.task) else self.tenant
        return Namespace(tenant, self.task, self.prompt_version, f"{self.provider}/{self.model}", embedder)

    def as_request(
        self, subject: str, *, priority: Decimal = Decimal(0), not_after: datetime | None = None
    ) -> LlmRequest:
        """The same question for the queue.

        Args:
            subject: what it is about within the tenant, such as a creative's id.
        """
        return LlmRequest(
            purpose=self.task,
            tenant=self.tenant,
            subject=subject,
            provider=self.provider,
            model=self.model,
            prompt_version=self.prompt_version,
            params=self.params,
            priority=priority,
            endpoint=self.endpoint,
            not_after=not_after,
            answer_schema=self.answer_schema,
        )


def question(
    text: str,
    *,
    tenant: str,
    task: str,
    prompt_version: str,
    model: str,
    instructions: str = "",
    images: Sequence[Image] = (),
    answer_schema: Mapping[str, Any] | None = None,
    max_tokens: int = 1_000,
    endpoint: Endpoint | None = None,
    text_decides: bool = False,
) -> Question:
    """A question in words.

    Args:
        prompt_version: names `instructions`, schema and everything else that is the same for all questions of
            the task; change it whenever one of them changes.
        model: with its provider, such as `anthropic/claude-haiku-4-5`.

    >>> asked = question(
    ...     "Why do hooks wear out?", tenant="a1", task="talk", prompt_version="1", model="openai/gpt-5-mini"
    ... )
    >>> asked.params["messages"]
    [{'role': 'user', 'content': 'Why do hooks wear out?'}]

    Raises:
        RequestInvalid: something is missing, or provider and endpoint do not go together.
    """
    provider, _, name = model.partition("/")
    if provider not in ENDPOINTS or not name:
        raise RequestInvalid(
            f"model '{model}' is not written as provider/model, with {' or '.join(ENDPOINTS)}"
        )
    for what, value in (
        ("text", text),
        ("tenant", tenant),
        ("task", task),
        ("prompt_version", prompt_version),
    ):
        if not value.strip():
            raise RequestInvalid(f"a question to {model}: {what} is empty")
    where = endpoint or ENDPOINTS[provider]
    if where.provider != provider:
        raise RequestInvalid(f"a question to {model}: {where} is not an endpoint of {provider}")
    body = question_body(
        where,
        model=name,
        text=text,
        instructions=instructions,
        images=images,
        schema=answer_schema,
        max_tokens=max_tokens,
    )
    return Question(tenant, task, prompt_version, provider, name, where, body, answer_schema, text_decides)


def score_question(creative: Mapping[str, Any], tenant: str, settings: Thresholds) -> Question:
    """What `nightly_batch_api` asks about a creative.

    Raises:
        RequestInvalid: the prompt version of `llm.scoring_prompt_version` is unknown.
    """
    llm = settings.llm
    body = scoring.scoring_params(
        creative,
        model=llm.scoring_model,
        prompt_version=llm.scoring_prompt_version,
        max_tokens=llm.scoring_max_tokens,
    )
    return Question(
        tenant, scoring.PURPOSE, llm.scoring_prompt_version, llm.provider, llm.scoring_model,
        Endpoint.MESSAGES, body,
    )  # fmt: skip


def hook_question(words: str, tenant: str, settings: Thresholds) -> Question:
    """Which type a hook is of.

    Raises:
        RequestInvalid: the hook is empty or longer than a hook can be.
    """
    model = settings.llm.hooks
    where = ENDPOINTS[model.provider]
    return Question(
        tenant, hooks.PURPOSE, hooks.PROMPT_VERSION, model.provider, model.model, where,
        hooks.hook_body(words, model=model.model, endpoint=where),
    )  # fmt: skip


def council_question(
    creative: Mapping[str, Any], tenant: str, member: ModelName, settings: Thresholds
) -> Question:
    """What one member of the council is asked about a creative.

    Raises:
        RequestInvalid: nothing of the creative is given, or the prompt version is unknown.
    """
    council, where = settings.llm.council, ENDPOINTS[member.provider]
    body = rubric.rubric_body(
        creative,
        model=member.model,
        endpoint=where,
        prompt_version=council.prompt_version,
        max_tokens=council.max_tokens,
    )
    return Question(
        tenant, rubric.PURPOSE, council.prompt_version, member.provider, member.model, where, body
    )
