"""Every refusal of the service: one kind, one status, one sentence, and a place for each mistake.

Nothing a caller sent is repeated in an answer or a log, except the names of its fields.
"""

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import psycopg
import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from include.command_line import DatabaseFailure, database_sentence
from include.errors import NightshiftError

MOST_PROBLEMS = 20
RETRY_AFTER_S = 2

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What went wrong, for programs."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD = "method_not_allowed"
    TOO_SLOW = "body_too_slow"
    TOO_LARGE = "body_too_large"
    MEDIA_TYPE = "unsupported_media_type"
    INVALID = "invalid_request"
    BUSY = "busy"
    BROKEN = "internal_error"
    UNAVAILABLE = "unavailable"


STATUS = {
    Kind.UNAUTHORIZED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD: 405,
    Kind.TOO_SLOW: 408,
    Kind.TOO_LARGE: 413,
    Kind.MEDIA_TYPE: 415,
    Kind.INVALID: 422,
    Kind.BUSY: 429,
    Kind.BROKEN: 500,
    Kind.UNAVAILABLE: 503,
}


class Problem(BaseModel):
    """One mistake in what was sent."""

    where: str = Field(description="path of the field", examples=["requests[0].max_tokens"])
    message: str = Field(description="what is wrong with it and what to do")


class ErrorDetail(BaseModel):
    """What went wrong."""

    type: Kind
    message: str = Field(description="one sentence: what was wrong and what to do")
    problems: list[Problem] = Field(default=[], description=f"each mistake, up to {MOST_PROBLEMS} of them")


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class Refused(NightshiftError):
    """The service does not do what was asked; nothing was stored.

    Attributes:
        kind: decides the status.
        problems: the mistakes, where the body has them.
    """

    def __init__(self, kind: Kind, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.problems = tuple(problems)

    @classmethod
    def for_mistakes(cls, problems: Sequence[Problem], kind: Kind = Kind.INVALID) -> "Refused":
        """Because of mistakes in the body, of which there is at least one."""
        first = f"{problems[0].where}: {problems[0].message}"
        count = len(problems)
        message = first if count == 1 else f"{count} mistakes; the first is {first}"
        return cls(kind, f"{message}. Nothing was stored", problems)


def answer(error: Refused) -> Response:
    """The refusal as a caller sees it."""
    detail = ErrorDetail(type=error.kind, message=str(error), problems=list(error.problems)[:MOST_PROBLEMS])
    headers = {}
    if error.kind is Kind.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.kind in (Kind.BUSY, Kind.UNAVAILABLE):
        headers["retry-after"] = str(RETRY_AFTER_S)
    body = ErrorAnswer(error=detail).model_dump(mode="json")
    return JSONResponse(body, STATUS[error.kind], headers)


def documented(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """These refusals for `responses=` of a route."""
    return {STATUS[kind]: {"model": ErrorAnswer, "description": str(kind)} for kind in kinds}


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error in the one form."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_the_framework)
    for failure in (*DatabaseFailure, sqlalchemy.exc.TimeoutError):
        app.add_exception_handler(failure, _of_the_database)
    app.add_exception_handler(Exception, _unforeseen)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this type alone
    return answer(error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type alone
    flaws = error.errors()
    # A list of which no item is right counts as empty to Pydantic; its items say why.
    told = [flaw for flaw in flaws if flaw["type"] != "too_short" or not _has_inner(flaw, flaws)]
    return answer(Refused.for_mistakes([_problem(flaw) for flaw in told]))


def _has_inner(flaw: Mapping[str, Any], flaws: Sequence[Mapping[str, Any]]) -> bool:
    outer = flaw["loc"]
    return any(len(each["loc"]) > len(outer) and each["loc"][: len(outer)] == outer for each in flaws)


def _problem(flaw: Mapping[str, Any]) -> Problem:
    """A mistake that Pydantic found, in our words."""
    steps = flaw["loc"]
    context = flaw.get("ctx") or {}
    said = str(flaw["msg"]).removeprefix("Value error, ")
    match flaw["type"]:
        case "json_invalid":
            position = steps[-1] if len(steps) > 1 else 0
            return Problem(where="body", message=f"this is not JSON, from character {position} on; mend it")
        case "missing":
            said = "this is missing; give it"
        case "extra_forbidden":
            said = "there is no such field; remove it, or look for its name in /docs"
        case "too_short" | "string_too_short":
            said = f"this is empty; give at least {context['min_length']}"
        case "union_tag_not_found":
            steps, said = (*steps, context["discriminator"].strip("'")), "this is missing; give it"
        case "union_tag_invalid":
            steps = (*steps, context["discriminator"].strip("'"))
            said = f"this must be one of {context['expected_tags']}"
        case _:
            said = said[0].lower() + said[1:]
    return Problem(where=_path(steps), message=said)


def _path(steps: Sequence[int | str]) -> str:
    """`("body", "requests", 0, "/v1/messages", "text")` as `requests[0].text`."""
    path = ""
    for step in steps[1:]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("/"):  # the endpoint by which Pydantic chose the form of a request
            path += f".{step}" if path else step
    return path or str(steps[0])


def _of_the_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type alone
    match error.status_code:
        case 404:
            return answer(
                Refused(Kind.NOT_FOUND, "there is nothing at this address; /docs lists what there is")
            )
        case 405:
            return answer(Refused(Kind.METHOD, "this address is not asked that way; /docs says how"))
    problem = Problem(where="body", message="this could not be read; send JSON in UTF-8")
    return answer(Refused.for_mistakes([problem]))


def _of_the_database(request: Request, error: Exception) -> Response:
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        log.error("all connections to the nightshift database are in use")
        return answer(Refused(Kind.UNAVAILABLE, "the service is busy with others; ask again in a moment"))
    # What the server says about a statement may quote what is in it: it goes to the log, not to the caller.
    log.error("%s %s: %s", request.method, request.url.path, database_sentence(error))
    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) or _lacks_tables(
        error
    ):
        sentence = "the nightshift database does not answer; nothing was stored, ask again in a moment"
        return answer(Refused(Kind.UNAVAILABLE, sentence))
    return _unforeseen(request, error)


def _lacks_tables(error: Exception) -> bool:
    cause = getattr(error, "orig", error)
    return isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName)


def _unforeseen(request: Request, error: Exception) -> Response:
    # The framework hands the error on to the server, which logs it.
    return answer(Refused(Kind.BROKEN, "the service made a mistake; its log says which. Nothing was stored"))
