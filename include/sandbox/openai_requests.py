"""The requests inside a batch of the pretended OpenAI: what becomes of each, and the line that tells it."""

import json
import random
import sqlite3
from typing import IO, Any

from include.sandbox.answers import vendor_id
from include.sandbox.batches import NEVER, Misfortune, tokens_of
from include.sandbox.openai_answers import EMBEDDINGS, answered, beginning, flaw, prompt_tokens, reply
from include.sandbox.openai_lines import Line
from include.sandbox.params import VendorError
from include.sandbox.prompt_cache import PromptCache, Tokens
from include.sandbox.schema_answers import SchemaUnsupported
from include.sandbox.vendor_errors import openai_error


def stored(
    line: Line, endpoint: str, draw: random.Random, misfortune: Misfortune, beginnings: PromptCache
) -> tuple[Any, ...]:
    """The columns of `openai_request` after its key."""
    finish = NEVER if draw.random() < misfortune.expired_share else draw.random()
    error, tokens = flaw(endpoint, line.body), Tokens(0, 0)
    if error is None and draw.random() < misfortune.errored_share:
        error = VendorError(500, misfortune.error_type, "This request failed on the sandbox's orders.")
    if error is None:
        try:
            tokens = charged(endpoint, line.body, beginnings)
        except SchemaUnsupported as unsupported:
            error = VendorError(400, "invalid_request_error", str(unsupported))
    failure = None
    if error is not None:
        body = openai_error(error.status, error.message, error.type, error.param)
        failure = json.dumps({"status_code": error.status, "body": body})
    return line.custom_id, finish, failure, *tokens.columns(), line.start, line.length


def charged(endpoint: str, body: dict[str, Any], beginnings: PromptCache) -> Tokens:
    """The tokens of a valid call.

    Raises:
        SchemaUnsupported: the JSON schema it asks for cannot be followed.
    """
    prompt = prompt_tokens(endpoint, body)
    if endpoint == EMBEDDINGS:
        return Tokens(prompt, 0)
    given = answered(endpoint, body)
    return beginnings.charge_openai(body["model"], beginning(endpoint, body), prompt, given.output_tokens)


def told(request: sqlite3.Row, batch: sqlite3.Row, share: float, end: str, source: IO[bytes]) -> str:
    """The line of a result file.

    Args:
        share: how much of the batch was done.
        end: how it ended before the rest: `expired` or `cancelled`.
        source: the file the requests are in.
    """
    seed = f"{batch['id']}:{request['key']}"
    line: dict[str, Any] = {
        "id": f"batch_req_{vendor_id('req', seed)[7:]}",
        "custom_id": request["custom_id"],
        "response": None,
        "error": None,
    }
    if request["finish"] > share:
        why = {
            "expired": "This request could not be executed before the completion window expired.",
            "cancelled": "This request was not executed because the batch was cancelled.",
        }
        line["error"] = {"code": f"batch_{end}", "message": why[end]}
        return json.dumps(line) + "\n"
    if request["failure"] is not None:
        answer = json.loads(request["failure"])
    else:
        source.seek(request["start"])
        body = json.loads(source.read(request["length"]))["body"]
        reply_id = vendor_id("reply", seed)[9:]
        told_body = reply(batch["endpoint"], body, tokens_of(request), reply_id=reply_id)
        answer = {"status_code": 200, "body": told_body}
    line["response"] = {"request_id": vendor_id("req", seed)[4:], **answer}
    return json.dumps(line, ensure_ascii=False) + "\n"
