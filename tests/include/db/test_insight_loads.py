"""The record of loads: newest wins, an open one is found by its run alone, shares are of the run's spend."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from include.db import ads
from include.db.insight_loads import (
    StoredLoad,
    close_loads,
    delete_loads,
    loaded_already,
    record_load,
    unallocated_shares,
)
from include.db.merging import Merged

SPAN = (date(2026, 5, 1), date(2026, 5, 8))


@pytest.fixture
def accounts(db: Engine) -> list[str]:
    names = ["act_1", "act_2"]
    with db.begin() as connection:
        rows = [
            {"account_id": name, "name": name, "niche": None, "currency": "USD", "source": "meta"}
            for name in names
        ]
        ads.upsert_accounts(connection, rows)
    return names


def record(db: Engine, account_id: str, run_key: str, **changes: Any) -> None:
    values: dict[str, Any] = {
        "merged": Merged(3, 2, 1), "spend": Decimal("100.00"), "unallocated": {}, "mismatches": 0,
    }  # fmt: skip
    with db.begin() as connection:
        record_load(connection, account_id, *SPAN, run_key=run_key, **{**values, **changes})


def test_an_open_load_is_found_by_its_run_and_window_alone(db: Engine, accounts: list[str]) -> None:
    record(db, "act_1", "night", mismatches=4)
    assert loaded_already(db, "night", *SPAN) == {"act_1": StoredLoad(Merged(3, 2, 1), 4)}
    assert loaded_already(db, "another night", *SPAN) == {}
    assert loaded_already(db, "night", SPAN[0], SPAN[0]) == {}


def test_a_closed_load_is_repeated_and_a_repeated_one_is_open_again(db: Engine, accounts: list[str]) -> None:
    for account_id in accounts:
        record(db, account_id, "night")
    close_loads(db, "night", *SPAN, ["act_1"])
    assert set(loaded_already(db, "night", *SPAN)) == {"act_2"}
    record(db, "act_1", "night")
    assert set(loaded_already(db, "night", *SPAN)) == {"act_1", "act_2"}


def test_shares_are_of_all_that_the_run_loaded(db: Engine, accounts: list[str]) -> None:
    assert unallocated_shares(db, "night") == {}
    record(db, "act_1", "night", unallocated={"age,gender": Decimal("30.00")})
    record(db, "act_2", "night", spend=Decimal("200.00"))
    assert unallocated_shares(db, "night") == {"age,gender": Decimal("0.1")}
    record(db, "act_1", "night after")
    assert unallocated_shares(db, "night") == {}


def test_a_run_without_spend_has_no_shares(db: Engine, accounts: list[str]) -> None:
    record(db, "act_1", "night", spend=Decimal(0), unallocated={"age,gender": Decimal(0)})
    assert unallocated_shares(db, "night") == {}


def test_old_records_are_removed_in_pages_and_a_dry_run_removes_none(db: Engine, accounts: list[str]) -> None:
    for account_id in accounts:
        record(db, account_id, "night")
    with db.begin() as connection:
        record_load(
            connection, "act_1", SPAN[0], SPAN[0], run_key="older", merged=Merged(3, 2, 1),
            spend=Decimal(1), unallocated={}, mismatches=0,
        )  # fmt: skip
        connection.execute(
            text("UPDATE ads.insight_load SET loaded_at = '2026-01-01Z' WHERE account_id = 'act_1'")
        )
    before = datetime(2026, 1, 2, tzinfo=UTC)
    assert delete_loads(db, before - timedelta(days=2), page=1) == 0
    assert delete_loads(db, before, page=10, dry_run=True) == 2
    assert delete_loads(db, before, page=1) == 2
    assert set(loaded_already(db, "night", *SPAN)) == {"act_2"}
