"""Exports of Ads Manager: good ones arrive to the cent, bad ones name every problem and change nothing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from include.db import ads
from include.meta_ads.errors import ExportRefused
from include.meta_ads.export import read_export
from include.meta_ads.importer import import_export, main
from include.meta_ads.table import SEPARATORS
from tests.include.meta_ads.exports import HEADER, KAG, OTHER, ROW, stored, write


def test_the_real_export_arrives_with_the_totals_of_the_file(
    db: Engine, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shared_data / "meta_ads" / "KAG_conversion_data.csv"
    assert main([str(file), "--account", "KAG"]) == 0
    said = capsys.readouterr().out
    for figure in ("1,143", "213,434,828", "38,165", "58,705.23", "scope kag"):
        assert figure in said
    (totals,) = ads.account_totals(db, "kag")
    assert (totals.rows, totals.impressions, totals.clicks) == (1143, 213_434_828, 38_165)
    assert totals.spend == Decimal("58705.23")
    assert totals.conversions == 1079
    assert totals.last_day is None
    rows = ads.read_performance(db, "kag")
    assert len(rows) == 1143
    assert set(rows["campaign_id"]) == {"916", "936", "1178"}
    assert set(rows["age"]) == {"30-34", "35-39", "40-44", "45-49"}
    assert set(rows["gender"]) == {"F", "M"}
    assert rows["interest"].notna().all()
    assert rows["metric_date"].isna().all()
    before = stored(db)
    assert main([str(file), "--account", "KAG"]) == 0
    assert "1,143 as they were" in capsys.readouterr().out
    assert stored(db) == before


def test_a_real_export_is_not_part_of_all_accounts(db: Engine, tmp_path: Path) -> None:
    import_export(db, write(tmp_path, HEADER, ROW), "Acme")
    assert ads.account_totals(db) == []
    assert ads.read_performance(db).empty
    assert ads.accounts(db) == []


def test_an_ads_manager_export_is_read_by_metas_own_column_names(db: Engine, tmp_path: Path) -> None:
    done = import_export(db, write(tmp_path, HEADER, ROW, OTHER), "Acme Ads")
    assert (done.account_id, done.performance.inserted) == ("acme-ads", 2)
    first, second = stored(db)
    assert first[:7] == (
        "120210000000000001", date(2026, 5, 4), "", 1234, 12, Decimal("1034.56"), Decimal(2),
    )  # fmt: skip
    assert second[6] == 0
    assert first[7]["columns"]["Campaign name"] == "Spring"


def test_columns_nobody_knows_are_kept(db: Engine, tmp_path: Path) -> None:
    import_export(db, write(tmp_path, HEADER + ",Quality ranking", ROW + ",Average"), "Acme")
    assert stored(db)[0][7]["columns"]["Quality ranking"] == "Average"


def test_breakdowns_make_cells_of_one_ad(db: Engine, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "Day,Campaign name,Ad name,Age,Gender,Platform,Placement,"
        "Impressions,Link clicks,Amount spent (EUR),Frequency",
        "2026-05-04,Spring,Ad one,25-34,female,facebook,Feed,100,3,1.50,1.25",
        "2026-05-04,Spring,Ad one,25-34,male,facebook,Feed,50,1,0.75,1.1",
    )
    done = import_export(db, file, "Acme")
    assert {row[2] for row in stored(db)} == {
        "age=25-34;gender=female;platform_position=Feed;publisher_platform=facebook",
        "age=25-34;gender=male;platform_position=Feed;publisher_platform=facebook",
    }
    assert len({row[0] for row in stored(db)}) == 1
    assert done.export.currency == "EUR"
    assert ads.read_performance(db, "acme")["frequency"].tolist() == [1.25, 1.1]


def test_the_summary_row_is_checked_and_left_out(db: Engine, tmp_path: Path) -> None:
    summary = "2026-05-04,2026-05-04,,,,2034,21,1054.66,2"
    done = import_export(db, write(tmp_path, HEADER, summary, ROW, OTHER), "Acme")
    assert len(done.export.rows) == 2
    wrong = summary.replace("2034", "2035")
    with pytest.raises(ExportRefused, match=r"row 4, column 'Impressions': .*2035; the rows sum to 2034"):
        import_export(db, write(tmp_path, HEADER, ROW, OTHER, wrong), "Acme")


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_a_byte_order_mark_make_no_difference(
    db: Engine, tmp_path: Path, separator: str, encoding: str
) -> None:
    lines = [line.replace(",", separator) for line in (HEADER, OTHER)]
    done = import_export(db, write(tmp_path, *lines, encoding=encoding), "Acme")
    assert (done.export.impressions, done.export.spend) == (800, Decimal("20.10"))


def test_decimal_commas_are_understood_where_the_separator_allows_them(db: Engine, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "Day;Ad ID;Impressions;Link clicks;Amount spent (EUR)",
        "2026-05-04;1;1.234;12;1.034,56",
        "2026-05-05;1;800;9;2.000",
    )
    done = import_export(db, file, "Acme")
    assert done.export.impressions == 2034
    assert done.export.spend == Decimal("3034.56")


def test_a_decimal_comma_in_the_value_of_purchases_tells_too(db: Engine, tmp_path: Path) -> None:
    header = "Ad ID;Impressions;Link clicks;Amount spent (EUR);Purchases conversion value"
    done = import_export(db, write(tmp_path, header, "1;800;9;20;1.012,50"), "Acme")
    assert done.export.rows[0].conversion_value == Decimal("1012.50")


def test_ads_with_names_too_long_for_an_index_are_told_apart(db: Engine, tmp_path: Path) -> None:
    name = "広" * 500
    rows = [f"{name},{name}{n},{name},100,2,1" for n in range(2)]
    file = write(tmp_path, "Campaign name,Ad set name,Ad name,Impressions,Clicks,Spent", *rows)
    import_export(db, file, "Acme")
    assert len({row[0] for row in stored(db)}) == 2


def test_a_file_without_dates_takes_the_day_it_is_given(db: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, KAG, "7,9,1,30-34,M,15,100,2,1.43,1,1")
    import_export(db, file, "Acme", date(2026, 5, 4))
    assert stored(db)[0][1] == date(2026, 5, 4)


def test_fractions_of_a_cent_do_not_change_the_sum(db: Engine, tmp_path: Path) -> None:
    rows = [f"{n},9,1,30-34,M,15,100,2,0.004,1,1" for n in range(200)]
    done = import_export(db, write(tmp_path, KAG, *rows), "Acme")
    assert done.export.spend == Decimal("0.80")
    assert ads.account_totals(db, "acme")[0].spend == Decimal("0.80")


def test_a_newer_export_replaces_the_numbers_of_its_days(db: Engine, tmp_path: Path) -> None:
    import_export(db, write(tmp_path, HEADER, ROW, OTHER), "Acme")
    done = import_export(db, write(tmp_path, HEADER, ROW.replace(",12,", ",13,"), OTHER), "acme")
    assert (done.performance.inserted, done.performance.changed, done.performance.unchanged) == (0, 1, 1)
    assert [row[4] for row in stored(db)] == [13, 9]


def test_what_a_newer_export_no_longer_has_stays_and_is_told(
    db: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write(tmp_path, HEADER, ROW, OTHER)), "--account", "Acme"]) == 0
    assert "kept" not in capsys.readouterr().out
    assert main([str(write(tmp_path, HEADER, ROW)), "--account", "Acme"]) == 0
    assert "kept, though not in this file: 1" in capsys.readouterr().out
    assert len(stored(db)) == 2


BAD_FILES = {
    "empty": ([""], r"export\.csv, is empty"),
    "only a header": ([HEADER], "has a header but no rows"),
    "only a summary": ([HEADER, "2026-05-04,2026-05-04,,,,2034,21,1054.66,2"], "no rows of ads"),
    "no impressions": (["Ad ID,Clicks,Spent", "1,2,3"], r"row 1: no column 'Impressions'"),
    "no spend": (["Ad ID,Clicks,Impressions", "1,2,3"], r"no column 'Amount spent \(USD\)'"),
    "no ads": (["Campaign name,Impressions,Clicks,Spent", "a,3,2,1"], "no column 'Ad ID' or 'Ad name'"),
    "a column twice": (["Ad ID,Clicks,clicks,Impressions,Spent", "1,2,2,3,1"], "'clicks' is there twice"),
    "a column without a name": (["Ad ID,,Clicks,Impressions,Spent", "1,,2,3,1"], "column 2 has no name"),
    "two currencies in the header": (
        ["Ad ID,Clicks,Impressions,Amount spent (USD),Amount spent (EUR)", "1,2,3,1,1"],
        "several currencies",
    ),
    "two currencies in the rows": (
        ["Ad ID,Clicks,Impressions,Spent,Currency", "1,2,3,1,USD", "2,2,3,1,EUR"],
        r"row 3, column 'Currency': 'EUR' where the file began with 'USD'",
    ),
    "a duplicate": ([HEADER, ROW, OTHER, ROW], r"row 4, column 'Ad ID': same ad, day and breakdown as row 2"),
    "an ad in two campaigns": (
        [HEADER, ROW, ROW.replace("Spring", "Autumn").replace("05-04", "05-05")],
        r"row 3, column 'Campaign name': ad 120210000000000001 is in campaign",
    ),
    "a word for a number": (
        [HEADER, ROW.replace(",12,", ",12x,")],
        r"row 2, column 'Clicks \(all\)': '12x' is not a number",
    ),
    "not a number": ([HEADER, OTHER.replace("20.10", "NaN")], r"column 'Amount spent \(USD\)': 'NaN'"),
    "infinity": ([HEADER, OTHER.replace("20.10", "inf")], r"'inf' is not a number"),
    "a negative amount": ([HEADER, OTHER.replace("20.10", "-20.10")], r"'-20\.10' is negative"),
    "a fraction of a click": ([HEADER, OTHER.replace(",9,", ",9.5,")], r"'9\.5' is not a whole number"),
    "a decimal comma": ([HEADER, OTHER.replace("20.10", '"20,1"')], r"'20,1' is not a number"),
    "an absurd number": ([HEADER, OTHER.replace("800", "9" * 30)], "too large to be true"),
    "no impressions in a row": ([HEADER, OTHER.replace("800", "")], r"column 'Impressions': is empty"),
    "more clicks than impressions": (
        [HEADER, OTHER.replace(",9,", ",801,")],
        r"row 2, column 'Clicks \(all\)': 801 clicks exceed 800 impressions",
    ),
    "a day that is none": (
        [HEADER, OTHER.replace("2026-05-04", "2026-02-30")],
        r"column 'Reporting starts': '2026-02-30' is not a date like 2026-01-31",
    ),
    "an American date": ([HEADER, OTHER.replace("2026-05-04", "05/04/2026")], "'05/04/2026' is not a date"),
    "a range of days": (
        [HEADER, OTHER.replace("2026-05-04", "2026-05-01", 1)],
        r"row 2, column 'Reporting starts': covers 2026-05-01 to 2026-05-04",
    ),
    "a rounded id": (
        [HEADER, OTHER.replace("120210000000000002", "1.2021E+17")],
        "a spreadsheet has rounded",
    ),
    "an id that became a formula": (
        [HEADER, OTHER.replace("120210000000000002", '"=""120210000000000002"""')],
        "a spreadsheet has made a formula of",
    ),
    "an endless name": ([HEADER, ROW.replace("Ad one", "x" * 600)], r"column 'Ad name': has 600 letters"),
    "a currency that is none": (
        ["Ad ID,Clicks,Impressions,Spent,Currency", "1,2,3,1,Dollars"],
        r"row 2, column 'Currency': 'DOLLARS' is not a currency like USD",
    ),
    "a sum among the ads": (
        ["Ad name,Clicks,Impressions,Spent", "A,2,3,1", "Total,2,3,1", "B,2,3,1"],
        r"row 3, column 'Ad name': reads as a sum among the ads",
    ),
    "sums at both ends": (
        ["Ad name,Clicks,Impressions,Spent", "Total,2,3,1", "A,2,3,1", "Grand total,2,3,1"],
        r"row 4, column 'Ad name': reads as a sum among the ads",
    ),
    "a fault after empty lines": (
        ["", ",,,", HEADER, ROW.replace(",12,", ",12x,")],
        r"row 4, column 'Clicks",
    ),
    "a fault in a header after empty lines": (["", "", "Ad ID,Clicks,Spent", "1,2,3"], r"row 3: no column"),
    "a short row": (
        [HEADER, ROW, "2026-05-04,2026-05-04,Spring"],
        "row 3: has 3 cells where the header has 9",
    ),
    "an open quotation mark": (
        [HEADER, '"' + ROW, OTHER],
        "row 2: not readable as CSV .* a quotation mark may be open",
    ),
    "an ambiguous amount": (
        ["Ad ID;Clicks;Impressions;Spent", "1;2;3;1.234"],
        r"row 2, column 'Spent': '1\.234' may be a fraction or thousands",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_by_file_row_column_and_reason(db: Engine, tmp_path: Path, case: str) -> None:
    lines, reason = BAD_FILES[case]
    with pytest.raises(ExportRefused, match=reason) as refused:
        import_export(db, write(tmp_path, *lines), "Acme")
    assert "export.csv" in str(refused.value)
    assert "nothing was imported" in str(refused.value)
    assert stored(db) == []
    assert ads.accounts(db, ("export",)) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Ad ID,Impressions\n1,\xe9\n", "row 2: byte 0xe9 is not UTF-8"),
        ("Ad ID,Impressions\n1,2\n".encode("utf-16"), "not UTF-8 text"),
        (b"PK\x03\x04rest of a workbook", "is an Excel workbook"),
        (b"Ad ID\x00,Impressions\n", "not UTF-8 text"),
        (b"\xef\xbb\xbf", "is empty"),
        (b",,,\n,,,\n", "is empty"),
        (b"sep=;\n", "is empty"),
    ],
)
def test_a_file_that_is_no_text_is_refused(db: Engine, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    with pytest.raises(ExportRefused, match=reason):
        import_export(db, path, "Acme")


def test_all_problems_of_a_file_are_named_at_once_up_to_a_number(db: Engine, tmp_path: Path) -> None:
    rows = [OTHER.replace(",9,", ",x,").replace("Ad two", f"Ad {n}") for n in range(30)]
    with pytest.raises(ExportRefused) as refused:
        import_export(db, write(tmp_path, HEADER, *rows), "Acme")
    lines = str(refused.value).splitlines()
    assert lines[0] == "import refused: 30 problems in export.csv, nothing was imported"
    assert "row 2," in lines[1]
    assert lines[-1].strip() == "and 10 more"


def test_a_missing_file_is_a_sentence_and_an_exit_code(
    db: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.csv"), "--account", "Acme"]) == 1
    assert "none.csv cannot be read (No such file or directory)" in capsys.readouterr().err
    assert main([str(tmp_path), "--account", "Acme"]) == 1
    assert "cannot be read (Is a directory)" in capsys.readouterr().err


def test_a_file_beyond_the_limit_is_refused_before_it_fills_the_memory(db: Engine) -> None:
    with pytest.raises(ExportRefused, match="zero, is larger than 1 MB"):
        read_export(Path("/dev/zero"), None, max_megabytes=1, problems_shown=1)


@pytest.mark.parametrize("text", ["nonsense", "2026-02-30", "20260504", "2026-W19-1", ""])
def test_a_date_that_is_none_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "export.csv"), "--account", "Acme", "--date", text])
    assert ended.value.code == 2
    assert f"argument --date: '{text}' is not a day of the calendar" in capsys.readouterr().err


def test_a_database_without_tables_is_a_sentence_that_says_what_to_do(
    db: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with db.begin() as connection:
        connection.execute(text("DROP SCHEMA ads CASCADE"))
    assert main([str(write(tmp_path, HEADER, ROW)), "--account", "Acme"]) == 1
    assert "lacks a table: run `python -m include.db.migrate` first" in capsys.readouterr().err


def test_a_first_line_that_tells_excel_the_separator_is_understood(db: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, "sep=;", "Ad ID;Impressions;Link clicks;Amount spent (EUR)", "1;1.234;12;20,5")
    done = import_export(db, file, "Acme")
    assert (done.export.impressions, done.export.spend) == (1234, Decimal("20.5"))


def test_a_date_is_refused_for_a_file_that_has_days(db: Engine, tmp_path: Path) -> None:
    file = write(tmp_path, "Day,Ad ID,Impressions,Clicks,Spent", "2026-05-04,1,3,2,1")
    with pytest.raises(ExportRefused, match="has column 'Day'"):
        import_export(db, file, "Acme", date(2026, 5, 4))
