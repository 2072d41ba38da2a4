"""Figures are kept in the form that later runs are compared by."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.reporting import print_table, write_figures


def test_figures_are_kept_with_machine_and_commit(tmp_path: Path) -> None:
    path = write_figures("dags", {"worst_ratio": 1.05}, folder=tmp_path / "bench")

    told = json.loads(path.read_text())
    assert path == tmp_path / "bench" / "dags.json"
    assert set(told) == {"figures", "machine", "commit"}
    assert told["figures"] == {"worst_ratio": 1.05}
    assert told["machine"]["cores"] >= 1


def test_a_table_stands_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("file", "s"), [("a", "1.25"), ("long name", "10.00")])

    assert capsys.readouterr().out.splitlines() == [
        "file           s",
        "---------  -----",
        "a           1.25",
        "long name  10.00",
    ]
