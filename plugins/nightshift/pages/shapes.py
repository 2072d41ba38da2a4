"""How numbers and times are written on the pages."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

__all__ = ["ago", "duration", "figure", "rate", "share", "usd"]


def usd(amount: Decimal | float) -> str:
    """Dollars, with as many digits as a small amount needs.

    >>> usd(Decimal("12.345")), usd(Decimal("0.00312")), usd(0)
    ('$12.35', '$0.0031', '$0')
    """
    number = Decimal(str(amount))
    if not number:
        return "$0"
    return f"${number:,.2f}" if abs(number) >= 1 else f"${number:.4f}"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent, a dash of nothing.

    >>> share(1, 8), share(0, 0)
    ('12.5 %', '–')
    """
    return f"{100 * float(part) / float(whole):.1f} %" if whole else "–"


def rate(value: float | None) -> str:
    """A rate in per cent with two digits.

    >>> rate(0.00731), rate(None)
    ('0.73 %', '–')
    """
    return "–" if value is None else f"{100 * value:.2f} %"


def figure(value: float | None) -> str:
    """A figure of a model with five digits, a dash where there is none.

    >>> figure(0.0312345678), figure(1200), figure(None)
    ('0.031235', '1,200', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.5g}"


def duration(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> duration(42), duration(3700), duration(90000)
    ('42 s', '1 h 1 min', '1 d 1 h')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s"


def ago(moment: datetime | None) -> str:
    """How long ago something was.

    >>> ago(None)
    '–'
    """
    return "–" if moment is None else f"{duration((datetime.now(UTC) - moment).total_seconds())} ago"
