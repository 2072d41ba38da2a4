"""Incidents are worked out from the days' verdicts alone: when they open, go on and close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.drift.incidents import Incident, incident, incidents
from ml.drift.settings import Severity

FIRST = date(2026, 3, 1)
SEVERITIES = [severity.value for severity in Severity]
SHORT = {"n": "none", "l": "low", "m": "medium", "h": "high", "c": "critical", "?": "cannot_tell"}


@dataclass(frozen=True)
class Day:
    day: date
    severity: str


def days(letters: str) -> list[Day]:
    """A letter a day from 1 March; a blank is a day without a report."""
    told = enumerate(letters)
    return [Day(FIRST + timedelta(days=n), SHORT[letter]) for n, letter in told if letter != " "]


def march(number: int) -> date:
    return date(2026, 3, number)


histories = st.lists(st.sampled_from([*SEVERITIES, None]), max_size=40).map(
    lambda told: [Day(FIRST + timedelta(days=n), each) for n, each in enumerate(told) if each is not None]
)


@pytest.mark.parametrize("letters", ["", "nnn", "lmlm", "mmmm", "???", "m?m"])
def test_there_is_none_without_a_high_or_critical_day(letters: str) -> None:
    assert incident(days(letters), 2) is None


@pytest.mark.parametrize(
    ("letters", "opened", "closed"),
    [
        ("nnh", 3, None),
        ("nmhc", 3, None),
        ("hnhn", 1, None),
        ("hmmmm", 1, None),
        ("h???", 1, None),
        ("hn?n", 1, None),
        ("hnmn", 1, None),
        ("hnn", 1, 3),
        ("hln", 1, 3),
        ("hn   n", 1, 6),
        ("cmlnnnn", 1, 4),
        ("hnnnnh", 6, None),
        ("hnnhnn", 4, 6),
        ("hnnmmm", 1, 3),
    ],
)
def test_the_newest_opens_with_the_first_bad_day_and_closes_with_the_second_calm_one(
    letters: str, opened: int, closed: int | None
) -> None:
    found = incident(days(letters), 2)
    assert found is not None
    assert found.opened_on == march(opened)
    assert found.closed_on == (None if closed is None else march(closed))
    assert found.is_open is (closed is None)


def test_it_says_how_bad_it_was_when_and_since_when_it_is_calm() -> None:
    assert incident(days("nhmccm ln"), 2) == Incident(
        opened_on=march(2),
        worst=Severity.CRITICAL,
        worst_on=march(4),
        closed_on=march(9),
        calm_since=march(8),
        days=tuple(march(n) for n in (2, 3, 4, 5, 6, 8, 9)),
    )
    assert incident(days("hn"), 2).calm_since == march(2)
    assert incident(days("hnm"), 2).calm_since is None


def test_all_incidents_of_a_history_are_told_oldest_first() -> None:
    found = incidents(days("hnn nc?nnnh"), 2)
    assert [(each.opened_on, each.closed_on) for each in found] == [
        (march(1), march(3)),
        (march(6), march(9)),
        (march(11), None),
    ]


def test_how_many_calm_days_end_it_is_the_callers_choice() -> None:
    assert incident(days("hn"), 1).closed_on == march(2)
    assert incident(days("hnn"), 3).is_open
    with pytest.raises(ValueError, match="at least 1 day"):
        incident(days("h"), 0)


def test_a_severity_or_a_history_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="dreadful"):
        incident([Day(FIRST, "dreadful")], 2)
    with pytest.raises(ValueError, match="twice"):
        incident([Day(FIRST, "high"), Day(FIRST, "none")], 2)


@given(histories, st.integers(1, 4), st.randoms())
def test_the_order_in_which_days_are_given_does_not_matter(history, recovery_days, random) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)
    assert incidents(shuffled, recovery_days) == incidents(history, recovery_days)


@given(histories, st.integers(1, 4))
def test_every_bad_day_is_in_exactly_one_incident_and_only_the_last_may_be_open(
    history, recovery_days
) -> None:
    found = incidents(history, recovery_days)
    inside = [day for each in found for day in each.days]
    assert len(inside) == len(set(inside))
    assert {each.day for each in history if each.severity in ("high", "critical")} <= set(inside)
    assert all(not each.is_open for each in found[:-1])
    severity = {each.day: each.severity for each in history}
    for each in found:
        assert severity[each.opened_on] in ("high", "critical")
        assert each.worst.value == severity[each.worst_on]
        assert each.worst == max(Severity(severity[day]) for day in each.days)
        if each.closed_on:
            assert all(severity[day] in ("none", "low") for day in each.days[-recovery_days:])


@given(histories, st.integers(1, 4), st.integers(0, 40))
def test_later_days_change_no_incident_that_was_over(history, recovery_days, cut) -> None:
    earlier = incidents(history[:cut], recovery_days)
    later = incidents(history, recovery_days)
    closed = [each for each in earlier if not each.is_open]
    assert list(later[: len(closed)]) == closed
    if earlier and earlier[-1].is_open:
        assert later[len(closed)].opened_on == earlier[-1].opened_on
