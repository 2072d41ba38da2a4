"""What a person decides a promotion by: both versions' figures side by side, the experiment's verdict, drift.

Gathered once, kept as JSON with the promotion, and shown as Markdown in the question and as a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from include.config import thresholds
from include.db import experiments
from include.db import promotion as db
from include.promotion.errors import NothingToPromote, VersionUnknown
from ml.registry import CHALLENGER, CHAMPION, RegisteredVersion, aliases_of, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

# How a metric's name begins -> what is better. Names of anything else are shown and not judged.
_LOWER = ("normalized_entropy", "ne_", "log_loss", "mae", "rmse", "calibration_error", "ece", "brier")
_HIGHER = ("auc", "skill", "r2")
_NEAR_ONE = ("predicted_actual_ratio",)
# Figures of what a version is compared with, or made of, not its own.
_NOT_ITS_OWN = ("constant", "average", "baseline", "_xgboost", "_lightgbm", "_mlp")


@dataclass(frozen=True)
class VersionFacts:
    """One of the two versions. Texts are empty where the version does not say."""

    version: int
    run_id: str
    trained_for: str
    window_start: str
    window_end: str
    rows: str
    trigger: str
    reason: str


@dataclass(frozen=True)
class MetricPair:
    """One figure of both, None where a version has none; `better` is None where nobody can say."""

    name: str
    champion: float | None
    candidate: float | None
    better: bool | None


@dataclass(frozen=True)
class DriftFacts:
    """The newest drift report since the champion was trained."""

    day: str
    severity: str
    summary: str
    model_version: int | None


@dataclass(frozen=True)
class Evidence:
    """Everything about one candidate.

    Attributes:
        model: name of the registered model.
        candidate, champion: what is compared; no champion where the model has none.
        metrics: judged ones first.
        verdict: of the last experiment, as whoever asked for the promotion passed it on.
        drift: None where there was no report that could tell.
        reason: why the promotion is asked for.
    """

    model: str
    candidate: VersionFacts
    champion: VersionFacts | None
    metrics: tuple[MetricPair, ...]
    verdict: dict[str, Any] | None
    drift: DriftFacts | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, fit for a database and for Airflow."""
        return asdict(self) | {"metrics": [asdict(pair) for pair in self.metrics]}

    @property
    def summary(self) -> str:
        """One sentence."""
        judged = [pair.better for pair in self.metrics if pair.better is not None]
        against = f"champion v{self.champion.version}" if self.champion else "no champion"
        better = f"better in {sum(judged)} of {len(judged)} figures" if judged else "no figures to compare"
        return f"Candidate v{self.candidate.version} of '{self.model}' against {against}: {better}."

    def markdown(self) -> str:
        """The body of the question put to the approver."""
        lines = [self.summary, ""]
        if self.reason:
            lines += [f"**Why now**: {_line(self.reason)}", ""]
        lines += [
            "**Experiment**",
            "",
            *_verdict_lines(self.verdict),
            "",
            "**Drift**",
            "",
            self._drift_line(),
            "",
        ]
        shown = self.metrics[: thresholds().promotion.metrics_shown]
        if shown:
            champion = f"champion v{self.champion.version}" if self.champion else "no champion"
            lines += [
                f"| figure | {champion} | candidate v{self.candidate.version} | |",
                "| --- | ---: | ---: | --- |",
                *(
                    f"| {_line(pair.name)} | {_number(pair.champion)} | {_number(pair.candidate)} | "
                    f"{_judgement(pair.better)} |"
                    for pair in shown
                ),
                "",
            ]
        lines += [_trained("Candidate", self.candidate)]
        if self.champion:
            lines += ["", _trained("Champion", self.champion)]
        return "\n".join(lines) + "\n"

    def _drift_line(self) -> str:
        if self.drift is None:
            return "No drift report since the champion was trained."
        return f"{self.drift.day}: {self.drift.severity}. {_line(self.drift.summary)}"


def gather_evidence(
    engine: Engine,
    client: MlflowClient,
    model: str,
    version: int | None = None,
    *,
    verdict: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Evidence:
    """Everything there is about a candidate and the champion it would replace.

    Args:
        engine: the `nightshift` database.
        client: of MLflow.
        model: the registered model.
        version: the candidate; None: the challenger.
        verdict: of the experiment; None looks for one of the two versions, also one that still runs.
        reason: why it is asked for.

    Raises:
        NothingToPromote: there is no challenger, or the version is champion already.
        VersionUnknown: MLflow has no such version.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    aliases = aliases_of(client, model)
    number = version if version is not None else aliases.get(CHALLENGER)
    if number is None:
        raise NothingToPromote(
            f"'{model}' has no challenger in MLflow: train one, or name a version to promote"
        )
    if number == aliases.get(CHAMPION):
        raise NothingToPromote(f"v{number} of '{model}' is champion already")
    candidate = find_version(client, model, number)
    if candidate is None:
        raise VersionUnknown(f"MLflow has no v{number} of '{model}'")
    champion = find_version(client, model, aliases[CHAMPION]) if CHAMPION in aliases else None
    trained = champion.tags.get("trained_for") if champion else None
    report = db.newest_drift(engine, model, _day(trained))
    return Evidence(
        model=model,
        candidate=_facts(candidate),
        champion=_facts(champion) if champion else None,
        metrics=_side_by_side(champion.metrics if champion else {}, candidate.metrics),
        verdict=dict(verdict) if verdict else _experiment(engine, model, number, aliases.get(CHAMPION)),
        drift=DriftFacts(
            report.report_date.isoformat(), report.severity, report.summary, report.model_version
        )
        if report
        else None,
        reason=reason,
    )


def _experiment(engine: Engine, model: str, candidate: int, champion: int | None) -> dict[str, Any] | None:
    """What the newest experiment of the two versions has shown so far."""
    of_both = (
        test
        for test in experiments.experiments_of(engine, model)
        if (test.champion_version, test.challenger_version) == (champion, candidate)
    )
    test = next(of_both, None)
    if test is None:
        return None
    look = experiments.last_look(engine, test.id)
    seen = look.paragraph if look else f"It counts from {test.first_day} on. {test.smallest_effect}"
    return {
        "experiment": test.id,
        "decision": test.state,
        "paragraph": f"Experiment {test.id} ({test.state.replace('_', ' ')}): {seen}",
        "numbers": look.numbers if look else {},
    }


def verdict_sentence(verdict: Mapping[str, Any] | None) -> str:
    """What an experiment's verdict says for people, empty where there is none."""
    names = ("summary", "paragraph", "decision")
    return next((str(verdict[name]) for name in names if verdict.get(name)), "") if verdict else ""


def verdict_facts(verdict: Mapping[str, Any] | None) -> dict[str, str | int | float | bool]:
    """The rest of a verdict that fits into a table: its plain values, and those of its `numbers`."""
    told = {name: value for name, value in (verdict or {}).items() if name not in {"summary", "paragraph"}}
    numbers = told.pop("numbers", None)
    everything = {**told, **numbers} if isinstance(numbers, dict) else told
    return {
        str(name): value for name, value in everything.items() if isinstance(value, str | int | float | bool)
    }


def _facts(version: RegisteredVersion) -> VersionFacts:
    names = ("trained_for", "window_start", "window_end", "rows", "trigger", "reason")
    return VersionFacts(
        version=version.version,
        run_id=version.run_id,
        **{name: version.tags.get(name, "") for name in names},
    )


def _side_by_side(champion: Mapping[str, float], candidate: Mapping[str, float]) -> tuple[MetricPair, ...]:
    pairs = []
    for name in sorted({*champion, *candidate}):
        old, new = _finite(champion.get(name)), _finite(candidate.get(name))
        pairs.append(MetricPair(name, old, new, _is_better(name, old, new)))
    return tuple(sorted(pairs, key=lambda pair: (pair.better is None, pair.name)))


def _is_better(name: str, old: float | None, new: float | None) -> bool | None:
    """Whether the candidate's figure is better; None where it is the same, absent, or not known which is."""
    if old is None or new is None or old == new or any(word in name for word in _NOT_ITS_OWN):
        return None
    if name.startswith(_NEAR_ONE):
        return abs(new - 1) < abs(old - 1)
    if name.startswith(_LOWER):
        return new < old
    return new > old if name.startswith(_HIGHER) else None


def _verdict_lines(verdict: Mapping[str, Any] | None) -> list[str]:
    if not verdict:
        return ["No experiment was run: the figures below are all there is."]
    numbers = [
        f"- {_line(name)}: {_line(_number(value) if isinstance(value, float) else str(value))}"
        for name, value in verdict_facts(verdict).items()
    ]
    return [_line(verdict_sentence(verdict)), "", *numbers]


def _trained(what: str, facts: VersionFacts) -> str:
    window = f" on {facts.window_start} to {facts.window_end}" if facts.window_start else ""
    rows = f", {facts.rows} rows" if facts.rows else ""
    why = f" ({_line(facts.reason)})" if facts.reason else ""
    when = f" for {facts.trained_for}" if facts.trained_for else ""
    return f"{what} v{facts.version} was trained{when}{window}{rows}{why}."


def _line(text: str) -> str:
    """Text of people or programs as part of a line of Markdown, without a mark of its own."""
    flat = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#!" else letter for letter in flat)


def _judgement(better: bool | None) -> str:
    return "" if better is None else "better" if better else "**worse**"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _day(written: str | None) -> date | None:
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        return None
