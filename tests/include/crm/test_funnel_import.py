"""Exported funnels become deals, twice the same, and contradictions are told instead of mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from include.crm.errors import FunnelRefused
from include.crm.funnel import read_funnel
from include.crm.funnel_import import import_funnel, main

LEADS = """mql_id,first_contact_date,landing_page_id,origin
a,2018-02-01,p1,social
b,2018-02-02,p2,email
c,2018-02-03,p1,
d,2018-02-04,p1,paid_search
"""
WON = """mql_id,sr_id,won_date,business_segment,lead_type
a,s1,2018-02-26 19:58:54,pet,online_medium
b,s2,2018-01-30 02:00:00,car,industry
x,s2,2018-03-01 02:00:00,car,industry
d,s1,2018-02-04 00:00:00,pet,online_big
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    leads, won = tmp_path / "leads.csv", tmp_path / "won.csv"
    leads.write_text(LEADS)
    won.write_text(WON)
    return leads, won


def everything(db: Engine) -> dict[str, list[tuple]]:
    tables = (
        "deal",
        "deal_stage_event",
        "contact",
        "owner",
        "pipeline",
        "stage",
        "association",
        "quarantine",
    )
    with db.connect() as connection:
        return {
            table: sorted(
                map(tuple, connection.execute(text(f"SELECT * FROM crm.{table}"))),
                key=str,
            )
            for table in tables
        }


def test_leads_become_deals_and_open_ones_are_not_lost(db: Engine, files: tuple[Path, Path]) -> None:
    done = import_funnel(db, *files, "shop")
    assert done.deals.inserted == 3
    with db.connect() as connection:
        deals = {
            row.deal_id: row
            for row in connection.execute(text("SELECT * FROM crm.deal WHERE pipeline_id = 'funnel_shop'"))
        }
    assert set(deals) == {"shop:a", "shop:c", "shop:d"}
    assert deals["shop:a"].is_won
    assert deals["shop:a"].owner_id == "shop:s1"
    assert deals["shop:a"].properties["origin"] == "social"
    assert (deals["shop:c"].is_closed, deals["shop:c"].is_won, deals["shop:c"].closed_at) == (
        False,
        False,
        None,
    )
    assert deals["shop:d"].closed_at >= deals["shop:d"].created_at
    assert f"{done.funnel.until:%Y-%m-%d}" == "2018-02-26"


def test_contradictions_are_left_out_and_kept_to_be_looked_at(db: Engine, files: tuple[Path, Path]) -> None:
    import_funnel(db, *files, "shop")
    with db.connect() as connection:
        rows = connection.execute(text("SELECT deal_id, reason FROM crm.quarantine ORDER BY deal_id")).all()
    assert [row.deal_id for row in rows] == ["shop:b", "shop:x"]
    assert "before the first contact" in rows[0].reason
    assert "not among the leads" in rows[1].reason


def test_importing_again_changes_nothing_and_other_funnels_stay(db: Engine, files: tuple[Path, Path]) -> None:
    import_funnel(db, *files, "shop")
    before = everything(db)
    assert import_funnel(db, *files, "shop").deals.unchanged == 3
    assert everything(db) == before
    import_funnel(db, *files, "other")
    with db.connect() as connection:
        gone = connection.execute(text("SELECT count(*) FROM crm.pipeline WHERE deleted")).scalar_one()
    assert gone == 0


def test_a_win_that_is_told_later_moves_the_deal(db: Engine, files: tuple[Path, Path]) -> None:
    import_funnel(db, *files, "shop")
    files[1].write_text(WON + "c,s2,2018-04-01 10:00:00,pet,online_big\n")
    done = import_funnel(db, *files, "shop")
    assert (done.deals.changed, done.deals.unchanged) == (1, 2)


def test_a_win_that_is_taken_back_leaves_the_history(db: Engine, files: tuple[Path, Path]) -> None:
    import_funnel(db, *files, "shop")
    files[1].write_text(WON.replace("a,s1,2018-02-26 19:58:54,pet,online_medium\n", ""))
    import_funnel(db, *files, "shop")
    query = text("SELECT stage_id FROM crm.deal_stage_event WHERE deal_id = 'shop:a'")
    with db.connect() as connection:
        assert list(connection.execute(query).scalars()) == ["lead"]


@pytest.mark.parametrize(
    ("leads", "won", "message"),
    [
        (LEADS.replace("first_contact_date", "when"), WON, "has no column 'first_contact_date'"),
        (LEADS + "e,soon,p1,social\n", WON, r"row 6, column 'first_contact_date': 'soon' is no date"),
        (LEADS + "a,2018-02-09,p1,social\n", WON, "lead 'a' is told twice"),
        (LEADS, WON + ",s1,2018-02-09,pet,x\n", "column 'mql_id': is empty"),
        (LEADS, WON.replace("2018-02-26 19:58:54", ""), "'' is no date"),
        ("", WON, "is empty"),
        (LEADS + "ada@mail.example,2018-02-09,p1,x\n", WON, "'mql_id': holds an e-mail address"),
        (LEADS + "e,2018-02-09,p1,ada@mail.example\n", WON, "'origin': holds an e-mail address"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence_and_nothing_is_written(
    db: Engine, files: tuple[Path, Path], leads: str, won: str, message: str
) -> None:
    files[0].write_text(leads)
    files[1].write_text(won)
    with pytest.raises(FunnelRefused, match=message) as refused:
        import_funnel(db, *files, "shop")
    assert "ada@" not in str(refused.value)
    assert not any(everything(db).values())


@pytest.mark.parametrize("name", ["", "Default", "default", "a b", "x" * 50])
def test_a_name_that_cannot_be_one_is_refused(db: Engine, files: tuple[Path, Path], name: str) -> None:
    with pytest.raises(FunnelRefused, match="--name"):
        import_funnel(db, *files, name)


def test_the_real_funnel_is_read_whole(
    db: Engine, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "crm_funnel"
    leads = folder / "olist_marketing_qualified_leads_dataset.csv"
    won = folder / "olist_closed_deals_dataset.csv"
    assert main([str(leads), str(won), "--name", "olist"]) == 0
    told = capsys.readouterr().out
    assert "7,999 leads, 841 of them won" in told
    assert told.count("left out") == 1
    funnel = read_funnel(leads, won, max_megabytes=10, problems_shown=3)
    assert len({lead.origin for lead in funnel.leads}) == 11
