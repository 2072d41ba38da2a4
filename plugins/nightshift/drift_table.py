"""Writes the table of verdicts in docs/drift.md from the thresholds: `make docs`.

A test compares the page with what this writes, so what it says of severities and decisions is in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from include.config import thresholds
from include.config.drift import DriftThresholds

PAGE = Path(__file__).parents[2] / "docs" / "drift.md"
BEGIN = "<!-- written by `make docs` from include/config/thresholds.yaml: begin -->"
END = "<!-- end -->"

_LEVELS = ("low", "medium", "high", "critical")
_DECISIONS = {
    "no_action": "nothing",
    "alert": "people are told",
    "incremental": "incremental update",
    "update": "full update",
}


def table(limits: DriftThresholds) -> str:
    """Every kind of drift and severity with threshold, evidence, decision and message, as Markdown."""
    rows = [
        "| kind | severity | from | evidence needed | decision | Slack |",
        "| --- | --- | --- | --- | --- | --- |",
        *(row for kind in _rows(limits) for row in kind),
        "| any | none | below low | - | nothing | only if an incident ends |",
        "| any | cannot_tell | too little data, no champion | - | nothing; the report says why | no |",
    ]
    return "\n".join([*rows, "", *(f"- {rule}" for rule in _rules(limits))])


def page_with_table(page: str, limits: DriftThresholds) -> str:
    """The page with its table written anew.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/drift.md has no place for the table: it needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table(limits)}\n{END}{after}"


def _rows(limits: DriftThresholds) -> Iterator[list[str]]:
    for kind, measure, levels in (
        ("features", "{} of the inputs drifted, weighted half by importance", limits.features),
        ("prediction", "stability index of the predictions {} beyond sampling", limits.prediction),
        ("performance", "{} of the champion's worth is lost", limits.cost),
        (
            "performance, not measurable",
            "stability index of the outcome {} beyond sampling",
            limits.outcomes,
        ),
        (
            "quality",
            "{} more of a column is missing or unusable",
            limits.quality.broken,
        ),
    ):
        index = "index" in measure
        yield [
            f"| {kind} | {level} | {measure.format(_figure(getattr(levels, level), index=index))} | "
            f"{_evidence(kind, level, limits)} | {_decision(kind, level, limits)} | {_slack(level, limits)} |"
            for level in _LEVELS
        ]


def _figure(value: float, *, index: bool) -> str:
    return f"{value:g}" if index else f"{value:.0%}"


def _evidence(kind: str, level: str, limits: DriftThresholds) -> str:
    if kind == "quality":
        return f"p < {limits.quality.p_value:g}"
    evidence = limits.evidence
    return (
        f"false discoveries at most {evidence.severe if level in ('high', 'critical') else evidence.usual:g}"
    )


def _decision(kind: str, level: str, limits: DriftThresholds) -> str:
    action = getattr(limits.actions, level)
    if kind == "quality" and action in ("incremental", "update"):
        told = _at_least(level, limits)
        return f"{_DECISIONS['alert'] if told else 'nothing'}: no model learns from broken data"
    return _DECISIONS[action]


def _slack(level: str, limits: DriftThresholds) -> str:
    return "once per incident" if _at_least(level, limits) else "no"


def _at_least(level: str, limits: DriftThresholds) -> bool:
    return _LEVELS.index(level) >= _LEVELS.index(limits.alert_from)


def _rules(limits: DriftThresholds) -> Iterator[str]:
    retrain, cost = limits.retrain, limits.cost.medium
    yield (
        "A severity counts when the day before observed it too, or at once where it stands at a false "
        f"discovery rate of {limits.evidence.certain:g}."
    )
    yield (
        f"What moved without a measured cost (its interval stays below {cost:.0%}) is at most "
        f"`{limits.harmless_at_most}`; where the measurement leaves room for a cost, at most "
        f"`{limits.measured_at_most}`."
    )
    yield f"A column counts as drifted from a stability index of {limits.psi_drifted:g} beyond sampling."
    yield f"A niche alone makes the whole at most `{limits.niche_at_most}`."
    yield (
        f"The current window is {limits.current_days} days, and performance is also measured on the newest "
        f"{limits.newest_days}; the reference is at most {limits.reference_days} days, weighted to the same "
        "weekdays."
    )
    yield (
        f"Rows that did not come are `low`, unless at least {limits.quality.broken.critical:.0%} of what the "
        "same weekdays had is missing, in the window or on its last day: that is `critical`."
    )
    yield f"Fewer than {limits.min_rows} rows or {limits.min_clusters} ads in either window: `cannot_tell`."
    yield (
        f"A retrain needs {retrain.least_rows} rows with outcomes that the champion has not learnt from, "
        f"{retrain.cooldown_days} days since the last request, and at most {retrain.budget} requests in 30 "
        "days; none is asked for while a training runs or a challenger that learnt these days waits."
    )
    yield f"An incident is over after {limits.recovery_days} days in a row that are `none` or `low`."


def main() -> int:
    """Write the table into the page."""
    PAGE.write_text(page_with_table(PAGE.read_text(), thresholds().drift))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
