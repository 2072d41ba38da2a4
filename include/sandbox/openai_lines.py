"""The lines of a batch's input file, and what the vendor finds wrong with them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.sandbox.openai_answers import EMBEDDINGS, inputs

MOST_LINES = 50_000
MOST_EMBEDDING_INPUTS = 50_000
CUSTOM_ID = re.compile(r"\S{1,512}")


@dataclass(frozen=True)
class Line:
    """A request, and where in the file it stands."""

    custom_id: str
    model: str
    body: dict[str, Any]
    start: int
    length: int


@dataclass(frozen=True)
class BadLine:
    """Why the file is refused; `line` counts from 1, None is the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def as_error(self) -> dict[str, Any]:
        """As the batch's `errors.data` shows it."""
        return {"code": self.code, "line": self.line, "message": self.message, "param": self.param}


def read_lines(path: Path, endpoint: str) -> Iterator[Line | BadLine]:
    """Every line of a file, good or bad, and what is wrong with the file as a whole."""
    seen: set[str] = set()
    models: set[str] = set()
    start, count, texts = 0, 0, 0
    with path.open("rb") as source:
        for number, raw in enumerate(source, start=1):
            at, start = start, start + len(raw)
            if not raw.strip():
                continue
            count += 1
            line = _read(raw, number, at, endpoint)
            if isinstance(line, Line):
                if line.custom_id in seen:
                    text = (
                        f"The custom_id for this request is a duplicate of another request: {line.custom_id}"
                    )
                    line = BadLine("duplicate_custom_id", text, number, "custom_id")
                else:
                    seen.add(line.custom_id)
                    models.add(line.model)
                    texts += len(inputs(line.body)) if endpoint == EMBEDDINGS else 0
            yield line
    if not count:
        yield BadLine("empty_file", "The input file has no requests.")
    if count > MOST_LINES:
        yield BadLine("too_many_tasks", f"The batch has {count} requests; the limit is {MOST_LINES}.")
    if len(models) > 1:
        yield BadLine(
            "mismatched_model", "All requests of a batch must use the same model.", None, "body.model"
        )
    if texts > MOST_EMBEDDING_INPUTS:
        text = f"The batch has {texts} embedding inputs; the limit is {MOST_EMBEDDING_INPUTS}."
        yield BadLine("too_many_inputs", text)


def _read(raw: bytes, number: int, start: int, endpoint: str) -> Line | BadLine:
    try:
        value = json.loads(raw)
        custom_id, body = value["custom_id"], value["body"]
        if value["method"] != "POST" or not isinstance(body, dict) or not CUSTOM_ID.fullmatch(custom_id):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        return BadLine("invalid_json_line", "This line is not parseable as valid JSON.", number)
    if value.get("url") != endpoint:
        text = f"The URL provided for this request does not match the batch endpoint {endpoint}."
        return BadLine("mismatched_endpoint", text, number, "url")
    return Line(custom_id, str(body.get("model", "")), body, start, len(raw))
