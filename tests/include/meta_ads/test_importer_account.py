"""The account an export is imported into: what it may be called, and what may join what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from include.db import ads
from include.meta_ads.errors import ExportRefused
from include.meta_ads.importer import account_id_of, import_export
from tests.include.meta_ads.exports import HEADER, ROW, stored, write


@pytest.mark.parametrize("name", ["", "   ", "all", "x" * 101, "a\x01b", "\udcff", "㍱" * 100])
def test_a_name_that_names_no_account_is_refused(name: str) -> None:
    with pytest.raises(ExportRefused, match=r"--account|means all"):
        account_id_of(name)


def test_every_name_makes_an_id_that_a_model_can_be_named_after() -> None:
    assert account_id_of("KAG_conversion_data") == "kag_conversion_data"
    assert account_id_of("Café  Noir & Söhne") == "cafe-noir-sohne"
    assert account_id_of("Кофе").startswith("account-")


def test_an_account_that_an_api_feeds_is_not_imported_into(db: Engine, tmp_path: Path) -> None:
    with db.begin() as connection:
        ads.upsert_accounts(
            connection, [{"account_id": "act_1", "name": "Northside Fitness", "source": "sandbox"}]
        )
    for name in ("northside fitness", "act_1"):
        with pytest.raises(ExportRefused, match="fed by an API"):
            import_export(db, write(tmp_path, HEADER, ROW), name)


@pytest.mark.parametrize(
    ("lines", "name", "reason"),
    [
        ([HEADER, ROW], "Acme!", "would share the id 'acme'"),
        ([HEADER.replace("USD", "EUR"), ROW], "Acme", "in EUR, those of account 'Acme' in USD"),
        ([HEADER + ",Age", ROW + ",25-34"], "Acme", "broken down by age, those of account 'Acme' by nothing"),
        (["Ad ID,Impressions,Clicks,Spent", "1,3,2,1"], "Acme", "have no days"),
        (
            [HEADER.replace("Ad ID,", ""), ROW.replace("120210000000000001,", "")],
            "Acme",
            "told apart by campaign name and ad name, those of account 'Acme' by ad id",
        ),
    ],
)
def test_rows_that_do_not_fit_the_account_are_refused(
    db: Engine, tmp_path: Path, lines: list[str], name: str, reason: str
) -> None:
    import_export(db, write(tmp_path, HEADER, ROW), "Acme")
    before = stored(db)
    with pytest.raises(ExportRefused, match=reason):
        import_export(db, write(tmp_path, *lines), name)
    assert stored(db) == before
