"""docs/DAGs.md says what the DAGs say."""

from __future__ import annotations

from pathlib import Path

from include.stack.settings import REPOSITORY
from nightshift.dag_catalog import PAGE, catalog, load_dags

DAG = '''
"""Counts sheep.

## What
Counts them | all.
"""
from datetime import timedelta

from airflow.sdk import Asset, Param, dag, task


@dag(
    schedule="5 4 * * 1-5",
    tags=["b", "a"],
    doc_md=__doc__,
    dagrun_timeout=timedelta(hours=1),
    params={"most": Param(3, type="integer", minimum=1, maximum=9, description="sheep")},
)
def sheep():
    @task(outlets=[Asset("nightshift://meadow/sheep")])
    def count():
        return 1

    count()


sheep()
'''


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == catalog(load_dags(REPOSITORY / "dags")), "run `make docs`"


def test_a_dag_is_shown_with_when_tags_assets_tasks_params_and_its_words(tmp_path: Path) -> None:
    (tmp_path / "sheep.py").write_text(DAG)

    page = catalog(load_dags(tmp_path))

    for part in (
        "| [`sheep`](#sheep) | cron `5 4 * * 1-5` UTC | Counts sheep. | a, b |",
        "- **Writes**: `nightshift://meadow/sheep`",
        "- **Reads**: no asset",
        'nightshift_meadow_sheep(["meadow/sheep"])',
        "sheep --> nightshift_meadow_sheep",
        "### What\nCounts them | all.",
        "| `count` | - | 1 |",
        "| `most` | `3` | integer, minimum `1`, maximum `9` | sheep |",
    ):
        assert part in page, part
