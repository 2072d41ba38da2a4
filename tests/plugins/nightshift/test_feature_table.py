"""docs/features.md says what the definitions say."""

import pytest

from ml.features.mined_definitions import MINED_FEATURES
from nightshift.feature_table import PAGE, page_with_table, table


def test_the_page_is_up_to_date():
    page = PAGE.read_text()
    assert page == page_with_table(page), "run `make docs`"


def test_every_feature_has_one_row_with_formula_and_meaning():
    rows = [line for line in table().splitlines() if line.startswith("| `")]
    assert len(rows) == len(MINED_FEATURES)
    by_name = {row.split("`")[1]: row for row in rows}
    for feature in MINED_FEATURES:
        row = by_name[feature.name]
        assert row.startswith(f"| `{feature.name}` | {feature.formula} |")
        assert feature.meaning in row
        assert row.count(" | ") == 5


def test_a_page_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="needs the lines"):
        page_with_table("# Features")
