"""Files of questions to evaluate the cache with; a bad one is refused with its row and column."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from include.errors import PermanentError
from include.llm.cache.promise.relearn import LabelledPair

# What a column may be called, the name in the documentation first.
PAIR_COLUMNS = {
    "text_a": ("text_a", "question1", "question_a", "a"),
    "text_b": ("text_b", "question2", "question_b", "b"),
    "is_duplicate": ("is_duplicate", "duplicate", "label", "same"),
}
STREAM_COLUMNS = {
    "text": ("text", "question", "prompt", "query"),
    "class": ("class", "class_id", "label", "id_set", "cluster"),
}
LABELS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
LONGEST_FIELD = 10_000_000


class EvaluationFileInvalid(PermanentError):
    """A file that cannot be evaluated with; the message names file, row and column."""


@dataclass(frozen=True)
class Asked:
    """One question of a stream; questions of one class have the same answer."""

    text: str
    answer: str


def read_pairs(path: Path) -> list[LabelledPair]:
    """Pairs of text_a, text_b and is_duplicate.

    Raises:
        EvaluationFileInvalid: it is no such file.
    """

    def label(value: str) -> bool:
        known = LABELS.get(value.strip().lower())
        if known is None:
            raise ValueError(f"'{value[:40]}' is no label; use 0 or 1")
        return known

    rows = _rows(path, PAIR_COLUMNS, {"is_duplicate": label})
    return [LabelledPair(str(row["text_a"]), str(row["text_b"]), bool(row["is_duplicate"])) for row in rows]


def read_stream(path: Path) -> list[Asked]:
    """Questions in the order they were asked, with their class.

    Raises:
        EvaluationFileInvalid: it is no such file.
    """

    def filled(value: str) -> str:
        if not value.strip():
            raise ValueError("it is empty; every question needs a class")
        return value.strip()

    rows = _rows(path, STREAM_COLUMNS, {"class": filled})
    return [Asked(str(row["text"]), str(row["class"])) for row in rows]


def read_paraphrases(path: Path) -> list[tuple[str, str]]:
    """Pairs of a sentence and its paraphrase, from JSON as GPTCache publishes it: origin, similar.

    Raises:
        EvaluationFileInvalid: it is no such file.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationFileInvalid(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(told, list) or not told:
        raise EvaluationFileInvalid(f"{path}: must be a list of objects with origin and similar")
    for row, each in enumerate(told, start=1):
        for name in ("origin", "similar"):
            if not isinstance(each, dict) or not isinstance(each.get(name), str):
                raise EvaluationFileInvalid(f"{path}, element {row}: '{name}' is missing or no text")
    return [(each["origin"], each["similar"]) for each in told]


def _rows(
    path: Path, columns: Mapping[str, tuple[str, ...]], readers: Mapping[str, Callable[[str], object]]
) -> list[dict[str, object]]:
    csv.field_size_limit(LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_checked(path, csv.reader(file, strict=True), columns, readers))
    except OSError as error:
        raise EvaluationFileInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise EvaluationFileInvalid(
            f"{path}: is not UTF-8 at byte {error.start}; save it as CSV in UTF-8"
        ) from error
    except csv.Error as error:
        raise EvaluationFileInvalid(f"{path}: is not CSV ({error})") from error
    if not rows:
        raise EvaluationFileInvalid(f"{path}: has a header but no rows")
    return rows


def _checked(
    path: Path,
    lines: Iterator[list[str]],
    columns: Mapping[str, tuple[str, ...]],
    readers: Mapping[str, Callable[[str], object]],
) -> Iterator[dict[str, object]]:
    header = [name.strip().lower() for name in next(lines, [])]
    if not header:
        raise EvaluationFileInvalid(f"{path}: is empty; expected a header {','.join(columns)}")
    places = {}
    for name, known in columns.items():
        found = [header.index(alias) for alias in known if alias in header]
        if not found:
            raise EvaluationFileInvalid(
                f"{path}: column {name} is missing (also known as {', '.join(known[1:])}); "
                f"its header has {', '.join(header)}"
            )
        places[name] = found[0]
    for row, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise EvaluationFileInvalid(
                f"{path}, row {row}: has {len(line)} columns, but the header has {len(header)}"
            )
        values: dict[str, object] = {}
        for name, place in places.items():
            try:
                values[name] = readers.get(name, str)(line[place])
            except ValueError as error:
                raise EvaluationFileInvalid(f"{path}, row {row}, column {header[place]}: {error}") from error
        yield values
