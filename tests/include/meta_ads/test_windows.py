"""The days a run fetches: the night's window, what it makes up for, and the slices of a backfill."""

from __future__ import annotations

import doctest
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.config import thresholds
from include.meta_ads import windows as module
from include.meta_ads.windows import slices_to_fetch, window_to_fetch, windows_of_run


@pytest.mark.parametrize(
    ("latest", "since", "missed"),
    [
        (None, "2026-05-28", None),
        (date(2026, 5, 30), "2026-05-28", None),
        (date(2026, 5, 31), "2026-05-28", None),
        (date(2026, 6, 9), "2026-05-28", None),
        (date(2026, 5, 25), "2026-05-23", None),
        (date(2026, 5, 20), "2026-05-18", None),
        (date(2026, 5, 17), "2026-05-18", None),
        (date(2026, 5, 16), "2026-05-18", ("2026-05-17", "2026-05-17")),
        (date(2026, 4, 30), "2026-05-18", ("2026-05-01", "2026-05-17")),
    ],
)
def test_missed_nights_are_made_up_for_up_to_a_number(
    latest: date | None, since: str, missed: tuple[str, str] | None
) -> None:
    window = window_to_fetch(date(2026, 5, 31), latest, restatement_days=3, catch_up_days=10)
    expected = {"since": since, "until": "2026-05-31"}
    if missed:
        expected |= {"missed_since": missed[0], "missed_until": missed[1]}
    assert window == expected


@given(days=st.integers(0, 1100), slice_days=st.integers(1, 40))
def test_the_slices_of_a_backfill_hold_every_day_once_and_begin_with_the_newest(
    days: int, slice_days: int
) -> None:
    day = date(2026, 5, 31)
    since = day - timedelta(days=days)
    slices = [
        tuple(date.fromisoformat(part[end]) for end in ("since", "until"))
        for part in slices_to_fetch(since, day, slice_days=slice_days, months=37)
    ]
    assert slices[0][1] == day
    assert slices[-1][0] == since
    assert all(later[0] - earlier[1] == timedelta(days=1) for later, earlier in pairwise(slices))
    assert all(0 <= (until - begin).days < slice_days for begin, until in slices)


def test_without_since_a_run_fetches_the_window_of_the_night() -> None:
    settings = thresholds().ads
    window = {"since": "2026-05-24", "until": "2026-05-31"}
    assert settings.restatement_days == 7
    assert windows_of_run(date(2026, 5, 31), None, date(2026, 5, 30), settings) == [window]
    assert len(windows_of_run(date(2026, 5, 31), "2026-03-01", date(2026, 5, 30), settings)) == 4


@pytest.mark.parametrize(
    ("since", "reason"),
    [
        ("2026-06-01", "after the last day 2026-05-31"),
        ("2023-04-30", "from 2023-04-01 on"),
        ("2026-02-30", "not a date"),
    ],
)
def test_a_backfill_of_days_nobody_has_is_refused(since: str, reason: str) -> None:
    settings = thresholds().ads
    if since == "2023-04-30":
        assert windows_of_run(date(2026, 5, 31), since, None, settings)
        since = "2023-03-31"
    with pytest.raises(ValueError, match=reason):
        windows_of_run(date(2026, 5, 31), since, None, settings)


def test_the_examples_in_the_documentation_hold() -> None:
    assert doctest.testmod(module) == doctest.TestResults(failed=0, attempted=2)
