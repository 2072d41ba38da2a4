"""Turns what was asked over HTTP into requests of the queue, or says everything that is wrong with it."""

from collections.abc import Iterator
from datetime import date

from include.config import Thresholds
from include.llm.bodies import Endpoint, embedding_body, question_body
from include.llm.errors import PriceUnknown
from include.llm.prices import price_of
from include.llm.requests import LlmRequest
from include.serving.errors import Kind, Problem, Refused
from include.serving.keys import Caller
from include.serving.llm_bodies import AskedTonight, Embedding, Question
from include.serving.schemas import flaw_of_schema


def requests_of(asked: AskedTonight, caller: Caller, day: date, settings: Thresholds) -> list[LlmRequest]:
    """The requests of a call, in their order.

    Raises:
        Refused: it asks for a tenant the key is not good for, or something in it cannot be asked of a model;
        each mistake is named.
    """
    most = settings.serving
    if (count := len(asked.requests)) > most.requests_per_call:
        message = f"{count} requests in a call; send at most {most.requests_per_call}"
        raise Refused.for_mistakes([Problem(where="requests", message=message)])
    strangers = [
        Problem(where=f"requests[{index}].tenant", message="this API key is not good for this tenant")
        for index, each in enumerate(asked.requests)
        if not caller.may_ask_for(each.tenant)
    ]
    if strangers:
        raise Refused.for_mistakes(strangers, Kind.FORBIDDEN)
    problems = [
        Problem(where=f"requests[{index}].{field}", message=message)
        for index, each in enumerate(asked.requests)
        for field, message in _flaws(each, day, settings)
    ]
    texts = sum(len(each.texts) for each in asked.requests if isinstance(each, Embedding))
    if texts > most.texts_per_call:
        message = f"{texts} texts to embed in a call; send at most {most.texts_per_call}"
        problems.append(Problem(where="requests", message=message))
    if problems:
        raise Refused.for_mistakes(problems)
    return [_request(each) for each in asked.requests]


def _flaws(asked: Question | Embedding, day: date, settings: Thresholds) -> Iterator[tuple[str, str]]:
    """Field and sentence of what Pydantic cannot see: prices, limits of vendors, schemas."""
    endpoint = Endpoint(asked.endpoint)
    try:
        price_of(settings.prices, endpoint.provider, asked.model, day)
    except PriceUnknown:
        known = sorted({p.model for p in settings.prices if p.provider == endpoint.provider})
        yield "model", f"there is no price for it at {endpoint.provider}; use one of {', '.join(known)}"
    if isinstance(asked, Embedding):
        return
    if asked.max_tokens > settings.serving.max_tokens:
        yield "max_tokens", f"at most {settings.serving.max_tokens} can be asked for"
    if len(asked.images) > settings.serving.images_per_request:
        yield "images", f"at most {settings.serving.images_per_request} can be looked at together"
    largest = settings.llm.vendors[endpoint.provider].image_bytes  # type: ignore[index]
    for number, picture in enumerate(asked.images):
        if picture.image().size > largest:
            yield f"images[{number}].data", f"{endpoint.provider} takes {largest:,} bytes; make it smaller"
    if asked.answer_schema is not None and (flaw := flaw_of_schema(asked.answer_schema)):
        yield "answer_schema", flaw


def _request(asked: Question | Embedding) -> LlmRequest:
    endpoint = Endpoint(asked.endpoint)
    if isinstance(asked, Embedding):
        body = embedding_body(asked.model, asked.texts, asked.dimensions)
    else:
        body = question_body(
            endpoint,
            model=asked.model,
            text=asked.text,
            instructions=asked.instructions,
            images=[picture.image() for picture in asked.images],
            schema=asked.answer_schema,
            max_tokens=asked.max_tokens,
        )
    return LlmRequest(
        purpose=asked.purpose,
        tenant=asked.tenant,
        subject=asked.subject,
        provider=endpoint.provider,
        model=asked.model,
        prompt_version=asked.prompt_version,
        params=body,
        priority=asked.priority,
        endpoint=endpoint,
        not_after=asked.not_after,
        answer_schema=asked.answer_schema if isinstance(asked, Question) else None,
    )
