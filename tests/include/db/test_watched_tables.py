"""Tables that models are watched by: pieces, samples, repeats, and names that are wrong."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from include.db.watched_tables import (
    DAY,
    WatchedTable,
    WatchedTableInvalid,
    read_watched,
    repeated_rows,
    sample_watched,
)

FIRST = date(2026, 3, 1)
TABLE = WatchedTable("ml.deal_answer", "closed_at", ("deal_id", "size"), scope="account_id", key=("deal_id",))


@pytest.fixture
def deals(db):
    with db.begin() as connection:
        connection.execute(
            text("""
                CREATE TABLE ml.deal_answer (
                    deal_id text, account_id text, closed_at timestamptz, size numeric)
            """)
        )
        connection.execute(
            text("""
                INSERT INTO ml.deal_answer
                SELECT 'd' || n, 'act_' || n % 2,
                       CAST(:first AS date) + n / 10 * interval '1 day' + interval '9 hours', n
                FROM generate_series(0, 99) AS n
            """),
            {"first": FIRST},
        )
        connection.execute(
            text("INSERT INTO ml.deal_answer SELECT * FROM ml.deal_answer WHERE deal_id = 'd7'")
        )
    yield db
    with db.begin() as connection:
        connection.execute(text("DROP TABLE ml.deal_answer"))


def wanted(**changes):
    return {"since": FIRST, "until": FIRST + timedelta(days=4), "scope": "all", **changes}


def test_a_period_is_read_in_pieces_with_both_of_its_ends(deals):
    pieces = list(read_watched(deals, TABLE, piece_rows=20, **wanted()))
    assert [len(piece) for piece in pieces] == [20, 20, 10]
    days = {day for piece in pieces for day in piece[DAY]}
    assert (min(days), max(days)) == (FIRST, FIRST + timedelta(days=4))


def test_a_row_that_is_there_twice_is_read_once_and_counted(deals):
    (piece,) = read_watched(deals, TABLE, piece_rows=1000, **wanted(until=FIRST))
    assert sorted(piece["deal_id"]) == [f"d{n}" for n in range(10)]
    assert repeated_rows(deals, TABLE, **wanted()) == 1
    keyless = WatchedTable("ml.deal_answer", "closed_at", ("deal_id",))
    assert repeated_rows(deals, keyless, **wanted()) == 0


def test_one_account_is_read_alone(deals):
    (piece,) = read_watched(deals, TABLE, piece_rows=1000, **wanted(scope="act_1"))
    assert len(piece) == 25


def test_a_sample_is_the_same_every_time_and_never_too_large(deals):
    drawn = [sample_watched(deals, TABLE, rows=12, **wanted()) for _ in range(2)]
    assert len(drawn[0]) == 12
    assert drawn[0].equals(drawn[1])
    assert drawn[0][DAY].nunique() > 2
    assert len(sample_watched(deals, TABLE, rows=1000, **wanted())) == 50


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (WatchedTable("ml.nowhere", "closed_at", ("size",)), 'relation "ml.nowhere" does not exist'),
        (
            WatchedTable("ml.deal_answer", "closed_at", ("sise",)),
            "column ml.deal_answer.sise does not exist|sise",
        ),
    ],
)
def test_a_name_that_is_wrong_is_named(deals, table, says):
    with pytest.raises(WatchedTableInvalid, match=says) as caught:
        list(read_watched(deals, table, piece_rows=10, **wanted()))
    assert "correct drift.models" in str(caught.value)
