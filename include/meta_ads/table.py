"""A CSV file as it lies on disk, made into a header and numbered rows, or refused.

Only the shape is judged here: encoding, separator, quoting, and that every row has as many cells as the
header. Rows are numbered as a spreadsheet shows them; the header is the first that is not empty.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from include.meta_ads.errors import ExportRefused

SEPARATORS = (",", ";", "\t")
# A first line with which Excel tells itself the separator.
_SEPARATOR_LINE = re.compile(r"sep=(?P<separator>[,;\t])\r?\n")


@dataclass(frozen=True)
class Problem:
    """One reason not to import a file; `row` and `column` are None where it is about the whole of it."""

    reason: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        where = [f"row {self.row}"] if self.row else []
        where += [f"column '{self.column}'"] if self.column else []
        return f"{', '.join(where)}: {self.reason}" if where else self.reason


@dataclass(frozen=True)
class Table:
    """A header and rows of equally many cells, all stripped; `rows` come with their number."""

    header: tuple[str, ...]
    header_row: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    separator: str


def refuse(path: Path, problems: list[Problem], shown: int) -> ExportRefused:
    """The error that lists the first `shown` problems of a file, one a line, each with the file's name."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"import refused: {count} in {path.name}, nothing was imported"]
    lines += [f"  {path.name}, {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"  and {len(problems) - shown} more")
    return ExportRefused("\n".join(lines))


def read_table(path: Path, max_megabytes: int, shown: int) -> Table:
    """Read a CSV file.

    Args:
        path: the file.
        max_megabytes: a larger file is refused; reading takes some twenty times its size in memory.
        shown: how many problems a refusal lists.

    Raises:
        ExportRefused: it cannot be read, is too large, is not UTF-8 text, is empty, or has rows of another
            length than the header.
    """
    text = _text(path, max_megabytes, shown)
    separator = _separator(text)
    cells: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            cells.append(row)  # noqa: PERF402 - the rows read so far tell where reading failed
    except csv.Error as error:
        problem = Problem(f"not readable as CSV ({error}); a quotation mark may be open", len(cells) + 1)
        raise refuse(path, [problem], shown) from error
    begin = 1 if _SEPARATOR_LINE.match(text) else 0
    filled = [
        (number, row)
        for number, row in enumerate(cells[begin:], start=begin + 1)
        if any(cell.strip() for cell in row)
    ]
    if not filled:
        raise refuse(path, [Problem("is empty")], shown)
    header_row, header = filled[0][0], tuple(cell.strip() for cell in filled[0][1])
    rows, problems = [], []
    for number, row in filled[1:]:
        if len(row) == len(header):
            rows.append((number, tuple(cell.strip() for cell in row)))
        else:
            problems.append(Problem(f"has {len(row)} cells where the header has {len(header)}", number))
    if problems:
        raise refuse(path, problems, shown)
    if not rows:
        raise refuse(path, [Problem("has a header but no rows")], shown)
    return Table(header, header_row, tuple(rows), separator)


def _text(path: Path, max_megabytes: int, shown: int) -> str:
    most = max_megabytes * 1_000_000
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ExportRefused(f"import refused: {path} cannot be read ({error.strerror})") from error
    if len(data) > most:
        raise refuse(path, [Problem(f"is larger than {max_megabytes} MB: split it by date")], shown)
    if data.startswith(b"PK\x03\x04"):
        raise refuse(path, [Problem("is an Excel workbook: export it as .csv")], shown)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data:
        raise refuse(path, [Problem("is not UTF-8 text: save it as 'CSV UTF-8'")], shown)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        reason = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as 'CSV UTF-8'"
        raise refuse(path, [Problem(reason, row)], shown) from error
    if not text.strip():
        raise refuse(path, [Problem("is empty")], shown)
    return text


def _separator(text: str) -> str:
    if told := _SEPARATOR_LINE.match(text):
        return told["separator"]
    header = next((line for line in text.splitlines() if line.strip("\t ,;")), "")
    return max(SEPARATORS, key=header.count)
