"""docs/drift.md says what the thresholds say."""

import pytest

from include.config import thresholds
from nightshift.drift_table import PAGE, page_with_table, table


def test_the_page_is_up_to_date():
    page = PAGE.read_text()
    assert page == page_with_table(page, thresholds().drift), "run `make docs`"


def test_every_kind_and_severity_has_its_row_with_threshold_and_decision():
    limits = thresholds().drift
    rows = [line.split(" | ") for line in table(limits).splitlines() if line.startswith("| ")]
    told = {(row[0].removeprefix("| "), row[1]): row for row in rows}
    for kind in ("features", "prediction", "performance", "quality"):
        for level in ("low", "medium", "high", "critical"):
            assert (kind, level) in told
    assert told["performance", "high"][2].startswith(f"{limits.cost.high:.0%} of")
    assert told["performance", "high"][4] == "full update"
    assert told["quality", "critical"][4] == "people are told: no model learns from broken data"


def test_another_configuration_is_another_table():
    limits = thresholds().drift
    changed = limits.model_copy(update={"actions": limits.actions.model_copy(update={"high": "alert"})})
    assert "| performance | high |" in table(changed)
    assert table(changed).count("| full update |") == table(limits).count("| full update |") - 4


def test_a_page_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="needs the lines"):
        page_with_table("# Drift", thresholds().drift)
