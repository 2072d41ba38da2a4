"""Numbers in exports: what is clear is read, what may mean two things is not."""

from __future__ import annotations

import doctest
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.meta_ads import amounts as module
from include.meta_ads.amounts import decimal_mark, parse_number, to_cents


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1234", ".", "1234"),
        ("1,234", ".", "1234"),
        ("1,234,567.891", ".", "1234567.891"),
        ("1.234.567,89", ",", "1234567.89"),
        ("1\u202f234,5", ",", "1234.5"),
        ("0.5", ".", "0.5"),
    ],
)
def test_a_clear_number_is_read(text: str, mark: str, value: str) -> None:
    assert parse_number(text, mark) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "-", "abc", "1,23", "12,34,567", "1.2.3", "1e5", "0x10", "nan", "∞", "$5", "٣"]
)
def test_anything_else_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(text, ".")


@pytest.mark.parametrize(
    ("texts", "separator", "mark"),
    [
        (["1,234"], ",", "."),
        (["1.234", "1.234,5"], ";", ","),
        (["1,234", "1,234.5"], ";", "."),
        (["12,5"], ";", ","),
        (["1.234.567"], ";", ","),
        (["1.234", "5"], ";", None),
    ],
)
def test_a_file_tells_its_decimal_mark(texts: list[str], separator: str, mark: str | None) -> None:
    assert decimal_mark(texts, separator) == mark


@given(st.lists(st.decimals(0, 10_000, places=9), max_size=60))
def test_rounding_to_cents_keeps_the_sum_and_moves_no_amount_by_a_cent(amounts: list[Decimal]) -> None:
    cents = to_cents(amounts)
    assert sum(cents) == round(sum(amounts, Decimal(0)), 2)
    assert all(abs(after - before) < Decimal("0.01") for before, after in zip(amounts, cents, strict=True))
    assert all(amount >= 0 for amount in cents)


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(module).attempted == 2
    assert doctest.testmod(module).failed == 0
