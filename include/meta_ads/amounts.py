"""Numbers as people's spreadsheets write them, read strictly: what could mean two things is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")

_SPACES = str.maketrans("", "", " \u00a0\u202f\u2009")
_PLAIN = re.compile(r"[0-9]+")
_WITH_MARK = {
    ".": re.compile(r"([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]+)?"),
    ",": re.compile(r"([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?"),
}
_GROUPED = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(\1[0-9]{3})*")


def decimal_mark(texts: Iterable[str], separator: str) -> str | None:
    """Which of '.' and ',' is the decimal mark of a file.

    Files separated by commas use the point. In others the numbers themselves tell; where none does, the
    answer is None.
    """
    if separator == ",":
        return "."
    for text in texts:
        found = text.translate(_SPACES)
        marks = [letter for letter in found if letter in ".,"]
        if len(set(marks)) == 2:
            return marks[-1]
        if len(marks) == 1 and not _GROUPED.fullmatch(found):
            return marks[0]
        if len(marks) > 1:
            return "," if marks[0] == "." else "."
    return None


def parse_number(text: str, mark: str | None, *, whole: bool = False) -> Decimal:
    """A number of at least 0.

    Args:
        text: as it stands in the file; groups of three may be set apart.
        mark: the decimal mark, None where it is not known.
        whole: it counts something.

    Raises:
        ValueError: why it is not one, e.g. "'12x' is not a number".

    >>> parse_number("1,234.50", ".")
    Decimal('1234.50')
    """
    found = text.translate(_SPACES)
    if found.startswith("-") and found != "-":
        raise ValueError(f"'{text}' is negative")
    if _PLAIN.fullmatch(found):
        return Decimal(found)
    if mark is None:
        if not _GROUPED.fullmatch(found):
            raise ValueError(f"'{text}' is not a number")
        if not whole:
            raise ValueError(f"'{text}' may be a fraction or thousands: export the file separated by commas")
        return Decimal(re.sub(r"[.,]", "", found))
    if not _WITH_MARK[mark].fullmatch(found):
        raise ValueError(f"'{text}' is not a number")
    group = "," if mark == "." else "."
    value = Decimal(found.replace(group, "").replace(mark, "."))
    if whole and value != value.to_integral_value():
        raise ValueError(f"'{text}' is not a whole number")
    return value


def to_cents(amounts: list[Decimal]) -> list[Decimal]:
    """Round amounts to cents so that they still sum to the rounded sum.

    Where plain rounding misses the sum, the amounts nearest to the other cent go there.

    >>> [str(a) for a in to_cents([Decimal("0.004")] * 5)]
    ['0.01', '0.01', '0.00', '0.00', '0.00']
    """
    rounded = [amount.quantize(CENT, ROUND_HALF_EVEN) for amount in amounts]
    missing = sum(amounts, Decimal(0)).quantize(CENT, ROUND_HALF_EVEN) - sum(rounded, Decimal(0))
    step = CENT if missing > 0 else -CENT
    nearest = sorted(range(len(amounts)), key=lambda i: (rounded[i] - amounts[i]) * (1 if step > 0 else -1))
    for position in nearest[: int(abs(missing) / CENT)]:
        rounded[position] += step
    return rounded
