"""The sentence a run leaves behind: what came, and what a person should look at."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from include.meta_ads.loading import WindowLoad
from include.meta_ads.summary import add_counts, summarise

WINDOW = {"since": "2026-05-01", "until": "2026-05-04"}


def counts(**changes: Any) -> dict[str, Any]:
    return WindowLoad(accounts=2, rows=9, inserted=4, changed=1).counts() | changes


def test_with_nothing_to_fetch_it_says_so() -> None:
    told = summarise([WINDOW], [])
    assert told["summary"] == "no account is fed by an API: nothing to fetch for 2026-05-01 to 2026-05-04"
    assert told["rows"] == 0


def test_a_quiet_run_has_nothing_but_its_numbers() -> None:
    told = summarise([WINDOW], [counts(attribution={"7d_click_1d_view": 9})], {"age,gender": Decimal(0)})
    assert told["summary"] == "9 ad-days of 2 accounts, 2026-05-01 to 2026-05-04: 4 new, 1 restated"
    assert told["unallocated"] == {}


def test_what_did_not_add_up_is_told_with_its_first_case() -> None:
    told = summarise([WINDOW], [counts(mismatches=1, mismatches_shown=["X"]), counts()])
    assert (told["rows"], told["accounts"], told["mismatches"]) == (18, 4, 1)
    assert told["summary"].endswith("8 new, 2 restated; 1 breakdowns do not add up, the first: X")


def test_days_that_stay_missing_are_said_with_what_to_do() -> None:
    window = WINDOW | {"missed_since": "2026-04-01", "missed_until": "2026-04-30"}
    told = summarise([window], [counts()])
    assert told["summary"].endswith(
        "still missing: 2026-04-01 to 2026-04-30, run them by hand with param since = 2026-04-01"
    )


def test_hidden_spend_excess_and_mixed_attribution_are_told() -> None:
    load = counts(exceeding=2, attribution={"7d_click": 4, "mixed": 5})
    told = summarise([WINDOW], [load], {"age,gender": Decimal("0.31"), "impression_device": Decimal("0.02")})
    assert "31.0% of the spend is in no cell by age,gender" in told["summary"]
    assert "2 breakdowns tell more than their total and are kept as they came" in told["summary"]
    assert "different attribution settings (7d_click, mixed)" in told["summary"]
    assert told["unallocated"] == {"age,gender": 0.31, "impression_device": 0.02}


def test_the_slices_of_a_backfill_are_one_span_and_their_accounts_are_counted_once() -> None:
    slices = [{"since": "2026-05-08", "until": "2026-05-14"}, {"since": "2026-05-01", "until": "2026-05-07"}]
    told = summarise(slices, [counts(), counts()])
    assert (told["since"], told["until"], told["accounts"]) == ("2026-05-01", "2026-05-14", 2)


def test_what_a_task_did_before_and_after_it_waited_is_one_load() -> None:
    first = counts(attribution={"a": 1}, mismatches_shown=["X"], mismatches=1)
    total = add_counts(first, counts(attribution={"a": 2, "b": 1}))
    assert (total["accounts"], total["rows"], total["mismatches"]) == (4, 18, 1)
    assert total["attribution"] == {"a": 3, "b": 1}
    assert total["mismatches_shown"] == ["X"]
    assert set(total) == set(first)
