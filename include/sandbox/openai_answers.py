"""What the pretended OpenAI models answer: chats, responses and embeddings, in the vendor's own shapes.

The words are those of `answers`, drawn from the request alone. An embedding is the sum of one random vector a
word, so that texts which share words lie close together.
"""

import base64
import functools
import hashlib
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from include.sandbox.answers import Answer, answer, input_tokens
from include.sandbox.params import VendorError
from include.sandbox.prompt_cache import Tokens

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
ENDPOINTS = (CHAT, RESPONSES, EMBEDDINGS)
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
MOST_INPUTS = 2_048
MODEL = re.compile(r"(gpt-|o\d|chatgpt-)[\w.-]*")
DEFAULT_LIMIT = 4_096
CREATED = 1_767_225_600


def flaw(endpoint: str, body: Any) -> VendorError | None:
    """The first thing wrong with the body of a call, or None."""
    if not isinstance(body, dict):
        return _invalid("The request body is not a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        return _invalid("you must provide a model parameter", "model")
    if endpoint == EMBEDDINGS:
        return _embedding_flaw(model, body)
    if not MODEL.fullmatch(model):
        return VendorError(
            404, "model_not_found", f"The model `{model}` does not exist or you do not have access to it."
        )
    if body.get("stream"):
        return _invalid("stream: streaming is not supported in this sandbox", "stream")
    turns = body.get("messages" if endpoint == CHAT else "input")
    if endpoint == RESPONSES and isinstance(turns, str) and turns:
        return None
    if not isinstance(turns, list) or not turns:
        name = "messages" if endpoint == CHAT else "input"
        return _invalid(f"Missing required parameter: '{name}'.", name)
    if not all(isinstance(turn, dict) and turn.get("role") and turn.get("content") for turn in turns):
        return _invalid("Each message needs a role and content.", "messages")
    return None


def _embedding_flaw(model: str, body: dict[str, Any]) -> VendorError | None:
    if model not in DIMENSIONS:
        return VendorError(404, "model_not_found", f"The model `{model}` does not exist.")
    texts = inputs(body)
    if not texts or not all(isinstance(text, str) and text for text in texts):
        return _invalid("'$.input' is invalid: give a text, or a list of texts that are not empty.", "input")
    if len(texts) > MOST_INPUTS:
        return _invalid(f"'$.input' is invalid: at most {MOST_INPUTS} texts.", "input")
    wanted = body.get("dimensions", 1)
    if not isinstance(wanted, int) or not 1 <= wanted <= DIMENSIONS[model]:
        return _invalid(f"dimensions must be from 1 to {DIMENSIONS[model]}.", "dimensions")
    return None


def inputs(body: dict[str, Any]) -> list[Any]:
    """The texts of an embedding request."""
    given = body.get("input")
    return given if isinstance(given, list) else [given]


def answered(endpoint: str, body: dict[str, Any]) -> Answer:
    """The answer to a valid chat or response."""
    return answer(_as_message(endpoint, body))


def prompt_tokens(endpoint: str, body: dict[str, Any]) -> int:
    """Tokens of the prompt, cached ones included."""
    if endpoint == EMBEDDINGS:
        return sum(-(-len(text) // 4) for text in inputs(body))
    return input_tokens(_as_message(endpoint, body))


def beginning(endpoint: str, body: dict[str, Any]) -> str:
    """The first message, which the vendor may know from an earlier call."""
    if endpoint == RESPONSES and body.get("instructions"):
        return str(body["instructions"])
    turns = body.get("messages" if endpoint == CHAT else "input")
    first = turns[0].get("content") if isinstance(turns, list) and turns else turns
    return first if isinstance(first, str) else ""


def reply(endpoint: str, body: dict[str, Any], tokens: Tokens, *, reply_id: str) -> dict[str, Any]:
    """The whole body that the vendor sends for a valid request."""
    if endpoint == EMBEDDINGS:
        return _embeddings(body, tokens)
    given = answered(endpoint, body)
    return (_chat if endpoint == CHAT else _response)(body, given, tokens, reply_id)


def _chat(body: dict[str, Any], given: Answer, tokens: Tokens, reply_id: str) -> dict[str, Any]:
    prompt = tokens.input_tokens + tokens.cache_read_tokens
    return {
        "id": f"chatcmpl-{reply_id}",
        "object": "chat.completion",
        "created": CREATED,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": given.content[0]["text"], "refusal": None},
                "logprobs": None,
                "finish_reason": "length" if given.stop_reason == "max_tokens" else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": tokens.output_tokens,
            "total_tokens": prompt + tokens.output_tokens,
            "prompt_tokens_details": {"cached_tokens": tokens.cache_read_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _response(body: dict[str, Any], given: Answer, tokens: Tokens, reply_id: str) -> dict[str, Any]:
    prompt = tokens.input_tokens + tokens.cache_read_tokens
    cut = given.stop_reason == "max_tokens"
    return {
        "id": f"resp_{reply_id}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "output": [
            {
                "type": "message",
                "id": f"msg_{reply_id}",
                "status": "incomplete" if cut else "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": given.content[0]["text"], "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": tokens.cache_read_tokens},
            "output_tokens": tokens.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + tokens.output_tokens,
        },
    }


def _embeddings(body: dict[str, Any], tokens: Tokens) -> dict[str, Any]:
    size = int(body.get("dimensions") or DIMENSIONS[body["model"]])
    in_base64 = body.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(inputs(body)):
        vector = embedding(text, size)
        told = base64.b64encode(vector.tobytes()).decode() if in_base64 else [float(x) for x in vector]
        data.append({"object": "embedding", "index": index, "embedding": told})
    used = {"prompt_tokens": tokens.input_tokens, "total_tokens": tokens.input_tokens}
    return {"object": "list", "data": data, "model": body["model"], "usage": used}


def embedding(text: str, size: int) -> npt.NDArray[np.float32]:
    """A unit vector, shape (size,), little-endian float32."""
    total = np.zeros(size, dtype=np.float32)
    for word in re.findall(r"\w+", text.lower()) or [text]:
        total += _word(word, size)
    return (total / np.linalg.norm(total)).astype("<f4")


@functools.lru_cache(maxsize=5_000)
def _word(word: str, size: int) -> npt.NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8])
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(size, dtype=np.float32)


def _as_message(endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same question in the form `answers` knows."""
    if endpoint == CHAT:
        turns, limit = body["messages"], body.get("max_completion_tokens") or body.get("max_tokens")
        wanted = body.get("response_format") or {}
        schema = (wanted.get("json_schema") or {}).get("schema")
    else:
        given = body["input"]
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else given
        limit = body.get("max_output_tokens")
        schema = ((body.get("text") or {}).get("format") or {}).get("schema")
    system = [_flat(turn["content"]) for turn in turns if turn["role"] in ("system", "developer")]
    if body.get("instructions"):
        system.insert(0, str(body["instructions"]))
    told = {
        "model": body["model"],
        "max_tokens": limit or DEFAULT_LIMIT,
        "system": "\n".join(system),
        "messages": [
            {"role": turn["role"], "content": _blocks(turn["content"])}
            for turn in turns
            if turn["role"] not in ("system", "developer")
        ]
        or [{"role": "user", "content": "-"}],
    }
    if schema:
        told["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return told


def _blocks(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {"type": "image"}
        if "image" in str(part.get("type"))
        else {"type": "text", "text": part.get("text", "")}
        for part in content
        if isinstance(part, dict)
    ]


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _invalid(message: str, param: str | None = None) -> VendorError:
    return VendorError(400, "invalid_request_error", message, param)
