"""HubSpot's property values, which all arrive as text, read strictly.

An empty text is an unset property. What cannot be read raises `BadValue`; its value is kept out of the
message, because anybody may have typed anything there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from include.crm.people import has_email

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)
_HARMLESS = re.compile(r"[0-9.,+\-]{1,12}")
_MOST = Decimal(10) ** 16
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_LONGEST_WORD = 300

# The kinds of property that are numbers, choices or times by HubSpot's own word.
STORABLE = frozenset({"number", "bool", "enumeration", "date", "datetime"})


class BadValue(ValueError):
    """The value is not what its property should hold; the message says what it should."""


def money(text: str | None) -> Decimal | None:
    """An amount to the cent.

    >>> money("1180.5"), money("")
    (Decimal('1180.50'), None)
    """
    number = _number(text)
    if number is None:
        return None
    cents = number.quantize(Decimal("0.01")) if abs(number) < _MOST else number
    if abs(cents) >= _MOST:
        raise BadValue("an amount of more than 16 digits")
    return cents


def chance(text: str | None) -> Decimal | None:
    """A probability, as exact as it is told.

    >>> chance("0.995"), chance("")
    (Decimal('0.995'), None)
    """
    number = _number(text)
    if number is not None and not 0 <= number <= 1:
        raise BadValue("no number from 0 to 1")
    return number


def moment(text: str | None) -> datetime | None:
    """A moment: ISO 8601, a day, or milliseconds since 1970, as HubSpot's interfaces differ.

    >>> moment("2026-01-06T20:37:58Z"), moment("1767731878000").isoformat()
    (datetime.datetime(2026, 1, 6, 20, 37, 58, tzinfo=datetime.timezone.utc), '2026-01-06T20:37:58+00:00')
    """
    if not text:
        return None
    try:
        if _WHOLE.fullmatch(text):
            found = _FIRST + timedelta(milliseconds=int(text))
        else:
            found = datetime.fromisoformat(text)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadValue("not a date or time") from error
    if not _FIRST <= found < _LAST:
        raise BadValue("a time before 1970 or after 2199")
    return found


def truth(text: str | None) -> bool | None:
    """`true` or `false`."""
    if not text:
        return None
    if text not in ("true", "false"):
        raise BadValue("neither true nor false")
    return text == "true"


def word(text: str | None) -> str | None:
    """An id or a choice: short, printable, and no e-mail address."""
    if not text:
        return None
    if len(text) > _LONGEST_WORD or not text.isprintable() or has_email(text):
        raise BadValue("not an id or a choice")
    return text


def currency(text: str | None) -> str | None:
    """A currency's three letters."""
    if not text:
        return None
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise BadValue("not the three letters of a currency")
    return text


def json_value(kind: str, text: str | None) -> str | float | bool | None:
    """A value of a property of type `kind` (one of `STORABLE`) as JSON has it; times as ISO texts."""
    if kind == "number":
        number = _number(text)
        if number is None:
            return None
        return int(number) if number == number.to_integral_value() and abs(number) < _MOST else float(number)
    if kind == "bool":
        return truth(text)
    if kind in ("date", "datetime"):
        found = moment(text)
        return None if found is None else found.isoformat()
    return word(text)


def harmless(text: str) -> str | None:
    """The value where it can be shown: a few digits and signs, too few for a phone number."""
    few = sum(letter.isdigit() for letter in text) < 7
    return text if few and _HARMLESS.fullmatch(text) else None


def _number(text: str | None) -> Decimal | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadValue("not a number")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise BadValue("not a number") from error
    if number.adjusted() > 300:
        raise BadValue("too large a number")
    return number
