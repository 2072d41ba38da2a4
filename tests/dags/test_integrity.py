"""The DAGs are what they should be, exactly; and every check here can fail."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.stack.night import DAGS as DAGS_OF_THE_NIGHT
from include.stack.settings import REPOSITORY
from nightshift.dag_catalog import load_dags, started_by, when
from tests.benchmarks.bench_dags import MOST, measure_imports
from tests.dags import rules
from tests.dags.lonely_import import import_alone
from tests.dags.timetable import (
    ALIAS_MOVED,
    CHAMPION_MOVED,
    NOT_OF_THE_NIGHT,
    PARAMS,
    PROMOTION_WANTED,
    RESULTS,
    RETRAIN_WANTED,
    SCHEDULES,
    TOPOLOGY,
)

FOLDER = REPOSITORY / "dags"
FILES = sorted(FOLDER.glob("*.py"))

# Packages of vendors and of science: a DAG file does not name them, not even inside a task.
VENDORS = {
    "anthropic",
    "evidently",
    "mlflow",
    "numpy",
    "openai",
    "pandas",
    "psycopg",
    "slack_sdk",
    "sqlalchemy",
    "xgboost",
}


@pytest.fixture(scope="module")
def dags() -> dict[str, Any]:
    return load_dags(FOLDER)


def vendors_named(file: Path) -> set[str]:
    """Top-level packages of `VENDORS` that a file imports anywhere."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            named |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add((node.module or "").partition(".")[0])
    return named & VENDORS


def test_there_are_exactly_these_dags_one_a_file_of_its_name(dags: dict[str, Any]) -> None:
    assert set(dags) == set(TOPOLOGY)
    assert {file.stem for file in FILES} == set(TOPOLOGY)
    assert {Path(dag.fileloc).stem: dag_id for dag_id, dag in dags.items()} == {name: name for name in dags}
    assert set(DAGS_OF_THE_NIGHT) == set(TOPOLOGY) - NOT_OF_THE_NIGHT


def test_the_tasks_and_their_order_are_exactly_these(dags: dict[str, Any]) -> None:
    found = {
        dag_id: {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}
        for dag_id, dag in dags.items()
    }

    assert found == TOPOLOGY


def test_each_runs_when_the_design_says(dags: dict[str, Any]) -> None:
    assert {dag_id: when(dag) for dag_id, dag in dags.items()} == SCHEDULES


def test_each_takes_exactly_these_params(dags: dict[str, Any]) -> None:
    assert {dag_id: set(dag.params) for dag_id, dag in dags.items()} == PARAMS


@pytest.mark.parametrize("rule", rules.RULES_OF_A_DAG, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dag_id", sorted(TOPOLOGY))
def test_it_keeps_the_rules_of_the_house(
    dags: dict[str, Any], dag_id: str, rule: Callable[[Any], Iterator[str]]
) -> None:
    assert list(rule(dags[dag_id])) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_parsing_it_again_makes_no_new_version(file: Path) -> None:
    assert list(rules.version_stability(file)) == []


def test_importing_them_calls_nobody_and_loads_nothing_heavy(tmp_path: Path) -> None:
    for file, alone in import_alone(FILES, tmp_path).items():
        assert alone.failure is None, file
        assert alone.calls == (), file
        assert alone.heavy == [], file
        assert "nightshift.policy" in alone.modules, file


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_names_no_vendor(file: Path) -> None:
    assert vendors_named(file) == set()


def test_assets_hold_all_dags_together_and_every_one_read_is_written(dags: dict[str, Any]) -> None:
    assert list(rules.asset_graph(dags)) == []
    assert started_by(dags["train_ctr_model"]) == {RETRAIN_WANTED}
    assert started_by(dags["warm_caches"]) == {RESULTS, CHAMPION_MOVED}
    assert started_by(dags["promote_model"]) == {PROMOTION_WANTED}
    assert started_by(dags["watch_registry"]) == {ALIAS_MOVED}


# From here on: a DAG that does everything wrong, and each check sees its part of it.

BAD_DAG = '''
"""No sentence

## What
Little.

## Can it wait?
"""
import datetime

from airflow.sdk import Asset, Param, dag, task


@dag(
    schedule="0 3 * * *",
    start_date=datetime.datetime(2020, 1, 1),
    catchup=True,
    tags=["mine"],
    params={
        "text": Param("x", type="string", title="T", description="D"),
        "number": Param(1, type="integer", title="T", description="D"),
        "anything": 1,
        "unsendable": Param("", type="string", maxLength=9, title="T", description="D"),
    },
    doc_md=__doc__,
    default_args={"owner": "somebody", "on_retry_callback": print},
)
def bad():
    @task(inlets=[Asset("nightshift://no/where")])
    def first():
        return None

    @task
    def other():
        return None

    first()
    other()


bad()
'''

SEEN_BY = {
    "owner": "first is owned by 'somebody', not 'nightshift'",
    "tags": "tag 'mine' is not in policy.TAGS",
    "documentation": "doc_md has the sections ['## What', '## Can it wait?']",
    "timeouts": "there is no dagrun_timeout",
    "retries": "first has 0 retries",
    "schedule": "it catches up",
    "alerts": "on_failure_callback of the DAG is not a FailureAlert",
    "params": "param text takes any text",
    "ending": "not with report alone",
}

ALSO_SEEN = {
    "documentation": "doc_md does not begin with a sentence",
    "timeouts": "other has no execution_timeout",
    "retries": "first does not follow policy.RETRY_POLICY",
    "schedule": "it has a start date",
    "alerts": "first calls back on retries",
    "params": "param unsendable is an empty text by default",
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "bad.py").write_text(BAD_DAG)
    return load_dags(folder)["bad"]


@pytest.mark.parametrize("rule", rules.RULES_OF_A_DAG, ids=lambda rule: rule.__name__)
def test_each_rule_sees_a_bad_dag(bad: Any, rule: Callable[[Any], Iterator[str]]) -> None:
    wrongs = "\n".join(rule(bad))

    assert SEEN_BY[rule.__name__] in wrongs
    assert ALSO_SEEN.get(rule.__name__, "") in wrongs


def test_an_empty_section_is_seen(bad: Any) -> None:
    bad.doc_md = "A sentence.\n\n## What\n\n## When it fails\nx\n\n## Can it wait?\n" + "y" * 50

    assert list(rules.documentation(bad)) == [
        "section '## What' says next to nothing",
        "section '## When it fails' says next to nothing",
    ]


def test_an_asset_nobody_writes_and_a_dag_apart_are_seen(bad: Any, dags: dict[str, Any]) -> None:
    wrongs = list(rules.asset_graph({**dags, "bad": bad}))

    assert wrongs[0] == "bad reads nightshift://no/where, which no DAG writes"
    assert wrongs[1].startswith("no asset connects ['bad'] with ")


def test_a_dag_of_todays_date_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "changing.py"
    file.write_text(
        "from datetime import datetime\nfrom airflow.sdk import DAG, Param\n"
        "with DAG('changing', params={'day': Param(str(datetime.today()))}):\n    pass\n"
    )

    assert len(list(rules.version_stability(file))) == 1


CALLS = [
    "import socket; socket.create_connection(('127.0.0.1', 9))",
    "import socket; socket.getaddrinfo('example.com', 443)",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "import httpx; httpx.get('http://127.0.0.1:9')",
    "import sqlite3; sqlite3.connect(':memory:')",
    "import subprocess; subprocess.run(['true'])",
    "open('somewhere', 'w')",
]

HEAVY = {
    "import pandas": "pandas",
    "from include.db import make_engine; make_engine('postgresql://u:p@h/d')": "psycopg",
    "import psycopg2": "psycopg2",
    "import slack_sdk": "slack_sdk",
    "import include.db": "include.db",
}


def written(folder: Path, snippets: Iterable[str]) -> dict[str, Path]:
    """A file for each piece of code, in which an error of it is swallowed, as a bad file would."""
    files = {}
    for n, code in enumerate(snippets):
        files[code] = folder / f"snippet_{n}.py"
        files[code].write_text(f"try:\n    {code}\nexcept Exception:\n    pass\n")
    return files


def test_a_file_that_calls_somebody_at_import_is_seen(tmp_path: Path) -> None:
    files = written(tmp_path, CALLS)
    alone = import_alone(list(files.values()), tmp_path)

    assert [code for code, file in files.items() if not alone[file].calls] == []


def test_a_file_that_loads_something_heavy_is_seen(tmp_path: Path) -> None:
    files = written(tmp_path, HEAVY)
    alone = import_alone(list(files.values()), tmp_path)

    assert [code for code, file in files.items() if HEAVY[code] not in alone[file].heavy] == []


def test_a_file_that_needs_a_connection_at_import_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "needy.py"
    file.write_text("from airflow.sdk import Connection\nConnection.get('nightshift_db')\n")

    assert import_alone([file], tmp_path)[file].failure is not None


def test_a_vendor_named_inside_a_task_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "named.py"
    file.write_text("def task():\n    from anthropic.types import Message\n    import pandas as pd\n")

    assert vendors_named(file) == {"anthropic", "pandas"}


def test_a_slow_file_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "slow.py"
    file.write_text("from airflow.sdk import dag\nimport time\ntime.sleep(1)\n")

    _, (slow,) = measure_imports([file], repeats=1)

    assert slow.ratio > MOST


def test_a_file_that_does_not_import_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from airflow.sdk import dag\nraise RuntimeError('broken')\n")

    with pytest.raises(ImportError, match=r"broken\.py"):
        load_dags(tmp_path)
