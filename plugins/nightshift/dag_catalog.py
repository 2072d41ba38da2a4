"""Writes docs/DAGs.md from the DAGs themselves: `python -m nightshift.dag_catalog`, or `make docs`.

A test compares the page with what this writes, so it is never out of date.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "DAGs.md"

_DAYS = {"SUN": "Sundays", "MON": "Mondays", "TUE": "Tuesdays", "WED": "Wednesdays", "THU": "Thursdays"}
_DAYS |= {"FRI": "Fridays", "SAT": "Saturdays"}
_SIMPLE_CRON = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[A-Z]{3})")


def load_dags(folder: Path) -> dict[str, DAG]:
    """All DAGs of a folder by id.

    Raises:
        ImportError: a file does not import; the message says which and why.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(folder), bundle_path=folder)
    if bag.import_errors:
        raise ImportError("; ".join(f"{file}: {error}" for file, error in sorted(bag.import_errors.items())))
    return dict(sorted(bag.dags.items()))


def when(dag: DAG) -> str:
    """A DAG's schedule in words, e.g. "every day at 01:00 UTC"."""
    timetable = dag.timetable
    clock = getattr(timetable, "timetable", timetable)
    told = []
    if expression := getattr(clock, "expression", None):
        simple = _SIMPLE_CRON.fullmatch(expression)
        zone = getattr(clock.timezone, "key", None) or str(clock.timezone)
        if simple:
            minute, hour, day = simple.groups()
            days = "every day" if day == "*" else _DAYS[day]
            told.append(f"{days} at {int(hour):02d}:{int(minute):02d} {zone}")
        else:
            told.append(f"cron `{expression}` {zone}")
    if starters := sorted(started_by(dag)):
        told.append(f"on {', '.join(f'`{uri}`' for uri in starters)}")
    return ", and ".join(told) or "by hand"


def started_by(dag: DAG) -> set[str]:
    """URIs of the assets whose events start a DAG."""
    return set(_uris(getattr(dag.timetable, "asset_condition", None)))


def reads(dag: DAG) -> set[str]:
    """URIs of the assets that tasks of a DAG read."""
    return {asset.uri for task in dag.tasks for asset in task.inlets}


def emits(dag: DAG) -> set[str]:
    """URIs of the assets that tasks of a DAG write."""
    return {asset.uri for task in dag.tasks for asset in task.outlets}


def catalog(dags: dict[str, DAG]) -> str:
    """The page about all DAGs, as Markdown."""
    ordered = sorted(dags.values(), key=_time_of_night)
    parts = [
        "# The DAGs",
        "Written by `make docs` from the DAG files; do not edit it here.",
        _table(
            ("DAG", "When", "What", "Tags"),
            (
                (f"[`{dag.dag_id}`](#{dag.dag_id})", when(dag), _first_sentence(dag), _tags(dag))
                for dag in ordered
            ),
        ),
        "## How they hang together",
        "Rounded: data, as Airflow's asset graph names it. A thick arrow starts the DAG it points to.",
        _graph(ordered),
        *(_chapter(dag) for dag in ordered),
    ]
    return "\n\n".join(parts) + "\n"


def _uris(condition: Any) -> Iterator[str]:
    """Addresses of the assets in a condition, however they are combined."""
    if uri := getattr(condition, "uri", None):
        yield uri
    for part in getattr(condition, "objects", ()):
        yield from _uris(part)


def _time_of_night(dag: DAG) -> tuple[int, int, int, str]:
    clock = getattr(dag.timetable, "timetable", dag.timetable)
    simple = _SIMPLE_CRON.fullmatch(getattr(clock, "expression", None) or "")
    if not simple:
        return (2, 0, 0, dag.dag_id)
    minute, hour, day = simple.groups()
    return (int(day != "*"), int(hour), int(minute), dag.dag_id)


def _chapter(dag: DAG) -> str:
    limits = f"at most {dag.max_active_runs} run at a time, {_duration(dag.dagrun_timeout)} a run"
    facts = [("When", when(dag)), ("Limits", limits), ("Tags", _tags(dag))]
    for title, uris in (("Reads", reads(dag) | started_by(dag)), ("Writes", emits(dag))):
        facts.append((title, ", ".join(f"`{uri}`" for uri in sorted(uris)) or "no asset"))
    params = _table(
        ("Param", "Default", "Takes", "Meaning"),
        (
            (f"`{name}`", f"`{_json(param.value)}`", _accepted(param.schema), str(param.description or ""))
            for name, param in sorted((name, dag.params.get_param(name)) for name in dag.params)
        ),
    )
    return "\n\n".join(
        [
            f"## {dag.dag_id}",
            "\n".join(f"- **{name}**: {value}" for name, value in facts),
            _below_chapter(dag.doc_md or ""),
            "### Tasks",
            _table(
                ("Task", "Then", "Tries"),
                (
                    (_task(task), _names(task.downstream_task_ids), str((task.retries or 0) + 1))
                    for task in dag.topological_sort()
                ),
            ),
            *(["### Params", params] if len(dag.params) else []),
        ]
    )


def _graph(dags: Iterable[DAG]) -> str:
    lines, nodes = [], {}
    for dag in dags:
        lines.append(f"    {dag.dag_id}[{dag.dag_id}]")
        for uri in sorted(reads(dag) | emits(dag) | started_by(dag)):
            nodes[uri] = re.sub(r"\W+", "_", uri)
    lines += [f'    {node}(["{uri.removeprefix("nightshift://")}"])' for uri, node in sorted(nodes.items())]
    for dag in dags:
        lines += [f"    {dag.dag_id} --> {nodes[uri]}" for uri in sorted(emits(dag))]
        lines += [f"    {nodes[uri]} --> {dag.dag_id}" for uri in sorted(reads(dag) - started_by(dag))]
        lines += [f"    {nodes[uri]} ==> {dag.dag_id}" for uri in sorted(started_by(dag))]
    return "\n".join(["```mermaid", "flowchart LR", *lines, "```"])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


def _tags(dag: DAG) -> str:
    return ", ".join(sorted(dag.tags))


def _task(task: Any) -> str:
    return f"`{task.task_id}`{' (mapped)' if getattr(task, 'is_mapped', False) else ''}"


def _names(task_ids: Iterable[str]) -> str:
    return ", ".join(f"`{task_id}`" for task_id in sorted(task_ids)) or "-"


def _first_sentence(dag: DAG) -> str:
    return " ".join((dag.doc_md or "").split("\n\n")[0].split())


def _below_chapter(markdown: str) -> str:
    """Headings one level down, for the page has the DAG's name above them."""
    return re.sub(r"^#", "##", markdown.strip(), flags=re.MULTILINE)


def _accepted(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "anything")
    told = [" or ".join(kinds) if isinstance(kinds, list) else str(kinds)]
    told += [
        f"{name} `{_json(schema[name])}`"
        for name in ("enum", "format", "pattern", "minimum", "maximum", "maxLength")
        if name in schema
    ]
    return ", ".join(told)


def _json(value: object) -> str:
    import json

    return value if isinstance(value, str) and value else json.dumps(value)


def _duration(span: Any) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:g} h"


def main() -> int:
    """Write the page; with `--check` only say whether it is up to date."""
    with tempfile.TemporaryDirectory() as home:
        # Airflow makes its home where it is told to, or else in the user's own folder.
        os.environ.setdefault("AIRFLOW_HOME", home)
        os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        text = catalog(load_dags(REPOSITORY / "dags"))
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
