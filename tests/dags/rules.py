"""What every DAG of the house must be. Each rule says, in sentences, what is wrong with a DAG.

`test_integrity.py` holds the DAGs of this repository to them, and proves with a bad DAG that each can fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nightshift import dag_catalog, policy
from nightshift.notifiers.failure_alert import FailureAlert
from nightshift.notifiers.task_failure import record_task_failure

SECTIONS = ("## What", "## When it fails", "## Can it wait?")
SHORTEST_SECTION = 40

Wrongs = Iterator[str]


def owner(dag: Any) -> Wrongs:
    """Every task belongs to the house."""
    for task in dag.tasks:
        if task.owner != policy.OWNER:
            yield f"{task.task_id} is owned by {task.owner!r}, not {policy.OWNER!r}"


def tags(dag: Any) -> Wrongs:
    """Tags come from the vocabulary, and there is one at least."""
    if not dag.tags:
        yield "there are no tags"
    for tag in sorted(set(dag.tags) - set(policy.TAGS)):
        yield f"tag {tag!r} is not in policy.TAGS"


def documentation(dag: Any) -> Wrongs:
    """A sentence of what it does, then three sections, in order, with something in each."""
    text = dag.doc_md or ""
    opening, *_ = text.split("\n\n")
    if not opening.strip().endswith("."):
        yield "doc_md does not begin with a sentence"
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    if headings != list(SECTIONS):
        yield f"doc_md has the sections {headings}, not {list(SECTIONS)}"
        return
    for heading, body in zip(headings, re.split(r"^## .*$", text, flags=re.MULTILINE)[1:], strict=True):
        if len(body.strip()) < SHORTEST_SECTION:
            yield f"section {heading!r} says next to nothing"


def timeouts(dag: Any) -> Wrongs:
    """A run and each of its tasks end some time."""
    if not dag.dagrun_timeout:
        yield "there is no dagrun_timeout"
    for task in dag.tasks:
        if not task.execution_timeout:
            yield f"{task.task_id} has no execution_timeout"


def retries(dag: Any) -> Wrongs:
    """What a retry can help is tried again; what it cannot, is not."""
    for task in dag.tasks:
        if not 1 <= task.retries <= 5:
            yield f"{task.task_id} has {task.retries} retries"
        if task.retry_policy is not policy.RETRY_POLICY:
            yield f"{task.task_id} does not follow policy.RETRY_POLICY"


def schedule(dag: Any) -> Wrongs:
    """Nothing of the past is started, and one run does not overtake another."""
    if dag.catchup:
        yield "it catches up"
    if dag.start_date or any(task.start_date for task in dag.tasks):
        yield "it has a start date"
    if dag.max_active_runs != 1:
        yield f"{dag.max_active_runs} runs may be active at once"


def alerts(dag: Any) -> Wrongs:
    """A failed run is told of once, with what its tasks said."""
    if not isinstance(dag.on_failure_callback, FailureAlert):
        yield "on_failure_callback of the DAG is not a FailureAlert"
    for task in dag.tasks:
        callbacks = _list(_argument(task, "on_failure_callback"))
        if callbacks != [record_task_failure]:
            yield f"on_failure_callback of {task.task_id} is not record_task_failure alone"
        if _list(_argument(task, "on_retry_callback")):
            yield f"{task.task_id} calls back on retries"


def params(dag: Any) -> Wrongs:
    """The form refuses nonsense: each param has a type, limits, title and description; there is a day."""
    if "day" not in dag.params:
        yield "there is no param day"
    for name in dag.params:
        param = dag.params.get_param(name)
        kinds = set(_list(param.schema.get("type")))
        if not kinds:
            yield f"param {name} has no type"
        if "string" in kinds and not {"pattern", "enum", "maxLength"} & set(param.schema):
            yield f"param {name} takes any text"
        if "string" in kinds and "null" not in kinds and not param.value:
            yield f"param {name} is an empty text by default, which the form refuses to send"
        if kinds & {"integer", "number"} and not {"minimum", "maximum"} <= set(param.schema):
            yield f"param {name} takes any number"
        if not param.schema.get("title") or not param.description:
            yield f"param {name} has no title or no description"


def ending(dag: Any) -> Wrongs:
    """`report`, which says what the run did, is last."""
    last = [task.task_id for task in dag.tasks if not task.downstream_task_ids]
    if last != ["report"]:
        yield f"the run ends with {last}, not with report alone"


def version_stability(file: Path) -> Wrongs:
    """Parsing the file again makes no new version of the DAG."""
    from airflow.utils.dag_version_inflation_checker import check_dag_file_stability

    for warning in check_dag_file_stability(str(file)).warnings.values():
        yield f"line {warning.line}: {warning.message}"


def asset_graph(dags: Mapping[str, Any]) -> Wrongs:
    """All that is read or waited for is written by some DAG, and the assets hold all DAGs together."""
    written = {uri for dag in dags.values() for uri in dag_catalog.emits(dag)}
    for name, dag in sorted(dags.items()):
        for uri in sorted((dag_catalog.reads(dag) | dag_catalog.started_by(dag)) - written):
            yield f"{name} reads {uri}, which no DAG writes"
    apart = _groups(
        {name, *dag_catalog.reads(dag), *dag_catalog.started_by(dag), *dag_catalog.emits(dag)}
        for name, dag in dags.items()
    )
    if len(apart) > 1:
        groups = sorted(sorted(group & dags.keys()) for group in apart)
        yield f"no asset connects {' with '.join(map(str, groups))}"


RULES_OF_A_DAG: tuple[Callable[[Any], Wrongs], ...] = (
    owner,
    tags,
    documentation,
    timeouts,
    retries,
    schedule,
    alerts,
    params,
    ending,
)


def _groups(sets: Iterable[set[str]]) -> list[set[str]]:
    groups: list[set[str]] = []
    for members in sets:
        joined = set(members)
        for group in [group for group in groups if group & joined]:
            groups.remove(group)
            joined |= group
        groups.append(joined)
    return groups


def _argument(task: Any, name: str) -> Any:
    """An argument of a task; a mapped one keeps those that are not mapped apart."""
    return task.partial_kwargs.get(name) if task.is_mapped else getattr(task, name)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
