"""What is particular to a task: how its answers are read, when two are the same, and who may read them.

The queue, the live client and the cache all ask here, so that an answer means the same wherever it came from.
A task that is not listed is answered in plain text, or in JSON of the schema it was asked with.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.config.clients import LiveThresholds
from include.llm import hooks, rubric, scoring
from include.llm.answers import answer_of_schema
from include.llm.bodies import Endpoint

Answer = Mapping[str, Any]
# Cosine of two texts.
Likeness = Callable[[str, str], float]

ENVELOPE = re.compile(r"\s*<(\w+)>\n(.*)\n</\1>\s*", re.DOTALL)
IMAGES = {"image", "image_url", "input_image"}


@dataclass(frozen=True)
class Task:
    """A task with rules of its own.

    Attributes:
        read: the stored answer from a model's text; raises `AnswerInvalid`.
        decisive: of the answer, what has to agree for two to be the same: a word equal, a number near.
        is_shared: whether the answers are everybody's, because nothing in the question is a tenant's own.
    """

    read: Callable[[str], dict[str, Any]]
    decisive: str
    is_shared: bool = False


TASKS: Mapping[str, Task] = {
    scoring.PURPOSE: Task(scoring.read_answer, "score"),
    rubric.PURPOSE: Task(rubric.read_answer, "overall"),
    hooks.PURPOSE: Task(hooks.read_answer, "hook_type", is_shared=True),
}


def is_shared(task: str) -> bool:
    """Whether a task's answers are everybody's."""
    return task in TASKS and TASKS[task].is_shared


def read_answer(task: str, text: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """An answer as it is stored.

    Raises:
        AnswerInvalid: it is not in the form that was asked for.
    """
    if task in TASKS:
        return TASKS[task].read(text)
    if schema is not None:
        return answer_of_schema(text, dict(schema))
    return {"text": text}


def same_answer(task: str, one: Answer, other: Answer, settings: LiveThresholds, likeness: Likeness) -> bool:
    """Whether two answers to a task say the same: then one would have done for the other.

    >>> from include.config import thresholds
    >>> live = thresholds().llm.live
    >>> same_answer("creative_score", {"score": 70}, {"score": 73}, live, lambda a, b: 0.0)
    True
    >>> same_answer("talk", {"text": "It depends."}, {"text": " it depends"}, live, lambda a, b: 0.0)
    True
    """
    if task in TASKS:
        name = TASKS[task].decisive
        a, b = one.get(name), other.get(name)
        if isinstance(a, int | float) and isinstance(b, int | float):
            return abs(a - b) <= settings.score_tolerance
        return a is not None and a == b
    if set(one) == set(other) == {"text"}:
        a, b = _normal(str(one["text"])), _normal(str(other["text"]))
        return a == b or likeness(a, b) >= settings.same_text
    return _canonical(one) == _canonical(other)


def words_of(params: Mapping[str, Any], endpoint: Endpoint | str, *, ignoring_images: bool = False) -> str:
    """The words by which a question is compared with others; empty where words alone do not decide.

    That is so where a picture is part of the question, and where there was a conversation before it.

    >>> words_of({"messages": [{"role": "user", "content": "Why?"}]}, Endpoint.MESSAGES)
    'Why?'
    >>> words_of({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, Endpoint.RESPONSES)
    ''
    """
    turns = params.get("input") if endpoint == Endpoint.RESPONSES else params.get("messages")
    if isinstance(turns, str):
        return _unwrapped(turns)
    if not isinstance(turns, Sequence):
        return ""
    asked = [turn for turn in turns if turn.get("role") not in ("system", "developer")]
    if len(asked) != 1:
        return ""
    content = asked[0].get("content")
    if isinstance(content, str):
        return _unwrapped(content)
    parts = content if isinstance(content, Sequence) else []
    if not ignoring_images and any(part.get("type") in IMAGES for part in parts):
        return ""
    return _unwrapped("\n".join(str(part["text"]) for part in parts if part.get("text")))


def _unwrapped(text: str) -> str:
    """Without the tags and the JSON around words that travel as data."""
    found = ENVELOPE.fullmatch(text)
    if found is None:
        return text
    try:
        data = json.loads(found[2])
    except ValueError:
        return text
    if not isinstance(data, dict):
        return text
    return "\n".join(_told(name, value, alone=len(data) == 1) for name, value in data.items())


def _told(name: str, value: Any, *, alone: bool) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return words if alone else f"{name}: {words}"


def _normal(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")


def _canonical(answer: Answer) -> str:
    return json.dumps(answer, sort_keys=True, ensure_ascii=False, default=str)
