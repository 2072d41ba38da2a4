"""What is stored is held against HubSpot: differences are found, read again, and told where they stay."""

from __future__ import annotations

from include.crm.storing import DealStore
from tests.include.crm.portal import FIRST, Nights, Portal, tables


def test_a_comparison_finds_what_no_change_tells(read: Nights, portal: Portal) -> None:
    with read.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE crm.deal SET amount = 1 WHERE deal_id = '1000000003'")
        connection.exec_driver_sql(
            "UPDATE crm.deal SET properties = '{\"x\": 1}' WHERE deal_id = '1000000004'"
        )
        connection.exec_driver_sql("DELETE FROM crm.deal WHERE deal_id = '1000000005'")
        connection.exec_driver_sql("DELETE FROM crm.association WHERE from_id = '1000000006'")
        connection.exec_driver_sql(
            "INSERT INTO crm.deal (deal_id, pipeline_id) VALUES ('999', 'default'), ('998', 'default')"
        )
    report = read.run(mode="reconcile")
    assert report["done"]["deals"]["differences"] == 5
    assert "5 differed from what was stored" in report["summary"]
    assert read.rows("SELECT deal_id FROM crm.deal WHERE archived ORDER BY 1") == [("998",), ("999",)]
    with read.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM crm.deal WHERE deal_id IN ('998', '999')")
    compared = tables(read.engine)
    assert read.run(mode="full")["deals_changed"] == 0
    assert tables(read.engine) == compared
    assert read.value("SELECT count(*) FROM crm.association WHERE from_id = '1000000006'") == 2


def test_counts_that_differ_are_found_by_halving_and_read_again(nights: Nights, portal: Portal) -> None:
    portal.control("seed", count=900)
    portal.settle()
    nights.run()
    before = tables(nights.engine)
    with nights.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM crm.deal WHERE deal_id = '1000000123'")
    done = nights.check()
    assert (done["refetched"], done["warnings"]) == (1, [])
    # Three counts, a handful of halvings, a page, the deal, its links, a last count.
    assert done["requests"] < 20
    assert tables(nights.engine) == before


def test_what_the_index_does_not_show_yet_is_no_loss_and_what_it_never_shows_is(
    read: Nights, portal: Portal
) -> None:
    portal.control("limits", search_lag_s=1e7)
    portal.set(FIRST, pipeline="elsewhere")
    DealStore(read.engine, read.client, read.settings).read_and_store([FIRST])
    told = read.check()
    # It left one pipeline for another a moment ago.
    assert (told["behind"], told["warnings"]) == (2, [])
    with read.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE crm.deal SET updated_at = now() + interval '1 day' WHERE deal_id = '1000000020'"
        )
    told = read.check()
    assert told["behind"] == 0
    assert len(told["warnings"]) == 2
    assert "run once with mode reconcile" in told["warnings"][0]


def test_a_stage_that_is_not_the_last_of_its_history_is_read_again(read: Nights) -> None:
    with read.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM crm.deal_stage_event WHERE deal_id = '1000000010'")
    done = read.check()
    assert (done["refetched"], done["warnings"]) == (1, [])
    assert read.value("SELECT count(*) FROM crm.deal_stage_event WHERE deal_id = '1000000010'") > 0
