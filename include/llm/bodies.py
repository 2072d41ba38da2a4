"""The bodies that the vendors' endpoints take, so that nobody else writes them by hand.

A question is instructions, words, pictures and the JSON schema of its answer; how that is put differs by
endpoint.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from include.llm.errors import RequestInvalid

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


class Endpoint(StrEnum):
    """What of a vendor answers."""

    MESSAGES = "/v1/messages"
    CHAT = "/v1/chat/completions"
    RESPONSES = "/v1/responses"
    EMBEDDINGS = "/v1/embeddings"

    @property
    def provider(self) -> str:
        """Whose it is."""
        return "anthropic" if self is Endpoint.MESSAGES else "openai"


@dataclass(frozen=True)
class Image:
    """A picture: its bytes in base64, or the address the vendor is to fetch it from.

    Raises:
        RequestInvalid: it is neither, or of a type that no vendor takes.
    """

    media_type: str = ""
    data: str = field(default="", repr=False)
    url: str = ""

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.url):
            raise RequestInvalid("an image has either data or a url; give one of them")
        if self.url and not self.url.startswith("https://"):
            raise RequestInvalid("an image's url must begin with https://")
        if self.data and self.media_type not in IMAGE_TYPES:
            raise RequestInvalid(
                f"an image's media_type is '{self.media_type}'; use one of {', '.join(IMAGE_TYPES)}"
            )
        try:
            base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestInvalid(f"an image's data is no base64 ({error})") from error

    @property
    def size(self) -> int:
        """Bytes of the picture itself; 0 where the vendor fetches it."""
        return len(self.data) * 3 // 4


def question_body(
    endpoint: Endpoint,
    *,
    model: str,
    text: str,
    instructions: str = "",
    images: Sequence[Image] = (),
    schema: Mapping[str, Any] | None = None,
    max_tokens: int,
) -> dict[str, Any]:
    """The body of a question to a model.

    Args:
        schema: JSON schema the answer has to meet.

    Raises:
        RequestInvalid: the endpoint answers no questions.
    """
    match endpoint:
        case Endpoint.MESSAGES:
            return _message(model, text, instructions, images, schema, max_tokens)
        case Endpoint.CHAT:
            return _chat(model, text, instructions, images, schema, max_tokens)
        case Endpoint.RESPONSES:
            return _response(model, text, instructions, images, schema, max_tokens)
    raise RequestInvalid(f"{endpoint} answers no questions: use embedding_body")


def embedding_body(model: str, texts: Sequence[str], dimensions: int | None = None) -> dict[str, Any]:
    """The body of a call that embeds texts; vectors come as base64, a quarter of the digits.

    Raises:
        RequestInvalid: there is no text, or one is empty.
    """
    if not texts or not all(texts):
        raise RequestInvalid("texts to embed must be at least one, and none empty")
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "base64"}
    return body if dimensions is None else {**body, "dimensions": dimensions}


def _message(
    model: str,
    text: str,
    instructions: str,
    images: Sequence[Image],
    schema: Mapping[str, Any] | None,
    max_tokens: int,
) -> dict[str, Any]:
    sources: list[dict[str, Any]] = [
        {"type": "base64", "media_type": image.media_type, "data": image.data}
        if image.data
        else {"type": "url", "url": image.url}
        for image in images
    ]
    content: Any = text
    if sources:
        content = [*({"type": "image", "source": source} for source in sources), _text("text", text)]
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "temperature": 0,
        "messages": [{"role": "user", "content": content}],
    }
    if instructions:
        body["system"] = instructions
    if schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(schema)}}
    return body


def _chat(
    model: str,
    text: str,
    instructions: str,
    images: Sequence[Image],
    schema: Mapping[str, Any] | None,
    max_tokens: int,
) -> dict[str, Any]:
    content: Any = text
    if images:
        parts = [{"type": "image_url", "image_url": {"url": _address(image)}} for image in images]
        content = [_text("text", text), *parts]
    turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if instructions:
        turns.insert(0, {"role": "system", "content": instructions})
    body: dict[str, Any] = {"model": model, "max_completion_tokens": max_tokens, "messages": turns}
    if schema:
        named = {"name": "answer", "strict": True, "schema": dict(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _response(
    model: str,
    text: str,
    instructions: str,
    images: Sequence[Image],
    schema: Mapping[str, Any] | None,
    max_tokens: int,
) -> dict[str, Any]:
    given: Any = text
    if images:
        parts = [{"type": "input_image", "image_url": _address(image)} for image in images]
        given = [{"role": "user", "content": [_text("input_text", text), *parts]}]
    body: dict[str, Any] = {"model": model, "max_output_tokens": max_tokens, "input": given}
    if instructions:
        body["instructions"] = instructions
    if schema:
        form = {"type": "json_schema", "name": "answer", "strict": True, "schema": dict(schema)}
        body["text"] = {"format": form}
    return body


def _address(image: Image) -> str:
    return image.url or f"data:{image.media_type};base64,{image.data}"


def _text(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text}
