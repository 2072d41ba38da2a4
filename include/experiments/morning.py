"""Every morning: look at what runs, end what is decided, start what is next in line."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from include.config import Thresholds
from include.db import experiments
from include.db.ads import latest_day
from include.db.experiments import AbTest
from include.experiments.errors import ExperimentRuns, NothingToTest
from include.experiments.looking import look_at
from include.experiments.starting import is_served, start_experiment
from ml.experiments import Decision
from ml.registry import CHAMPION, aliases_of
from ml.registry.aliases import registered_models

if TYPE_CHECKING:
    from mlflow import MlflowClient

STARTED_BY = "evaluate_experiment"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What this morning did for one experiment or model.

    Attributes:
        event: `looked`, `ended`, `started` or `gap` (nothing is being tested); `lately` for one that began or
            ended in the last days, which an earlier run may have died before telling.
        decision: of a look or an end, else empty.
        paragraph: for people.
    """

    event: str
    model_name: str
    experiment: int | None = None
    champion: int | None = None
    challenger: int | None = None
    decision: str = ""
    paragraph: str = ""
    numbers: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For XCom and assets."""
        return dict(vars(self))


def evaluate_all(engine: Engine, client: MlflowClient, day: date, settings: Thresholds) -> list[Outcome]:
    """Judge all experiments that run, then see to it that every served model tests something.

    Doing it again on the same day changes nothing: an experiment ends once, and one runs at a time.

    Args:
        engine: the `nightshift` database.
        client: of MLflow.
        day: today; outcomes are known up to the newest day that was loaded, today at the latest.
        settings: all thresholds.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    known_until = latest_day(engine)
    unasked = experiments.unasked_promotions(engine)
    outcomes = [_unasked(engine, test) for test in unasked]
    asked_again = {test.id for test in unasked}
    outcomes += [_lately(test) for test in experiments.lately_moved(engine) if test.id not in asked_again]
    for test in experiments.running_experiments(engine):
        champion = aliases_of(client, test.model_name).get(CHAMPION)
        if champion != test.champion_version:
            outcomes.append(_overtaken(engine, test, champion))
        elif known_until is not None and min(day, known_until) >= test.first_day:
            outcomes.append(_looked(engine, test, min(day, known_until)))
        else:
            outcomes.append(_waiting(test))
    for name in registered_models(client):
        if is_served(name) and CHAMPION in aliases_of(client, name):
            outcomes += _next(engine, client, name, day, settings)
    return outcomes


def _unasked(engine: Engine, test: AbTest) -> Outcome:
    looks = experiments.looks_at(engine, test.id)
    return Outcome(
        "ended",
        test.model_name,
        test.id,
        test.champion_version,
        test.challenger_version,
        test.state,
        test.reason,
        looks[-1].numbers if looks else {},
    )


def _lately(test: AbTest) -> Outcome:
    running = test.state == "running"
    return Outcome(
        "lately",
        test.model_name,
        test.id,
        test.champion_version,
        test.challenger_version,
        "started" if running else test.state,
        _beginning(test) if running else test.reason,
    )


def _looked(engine: Engine, test: AbTest, until: date) -> Outcome:
    verdict = look_at(engine, test, until)
    ended = verdict.decision is not Decision.EXTEND
    if ended:
        experiments.end_experiment(engine, test.id, state=str(verdict.decision), reason=verdict.paragraph)
    return Outcome(
        "ended" if ended else "looked",
        test.model_name,
        test.id,
        test.champion_version,
        test.challenger_version,
        str(verdict.decision),
        verdict.paragraph,
        verdict.numbers,
    )


def _waiting(test: AbTest) -> Outcome:
    paragraph = (
        f"It counts from {test.first_day} on; no outcomes of that day are loaded yet. {test.smallest_effect}"
    )
    return Outcome(
        "looked",
        test.model_name,
        test.id,
        test.champion_version,
        test.challenger_version,
        str(Decision.EXTEND),
        paragraph,
    )


def _overtaken(engine: Engine, test: AbTest, champion: int | None) -> Outcome:
    now = f"v{champion}" if champion else "nobody"
    paragraph = (
        f"Stopped: it tested v{test.challenger_version} against v{test.champion_version}, and the champion "
        f"is {now} now."
    )
    experiments.end_experiment(engine, test.id, state="stopped", reason=paragraph)
    return Outcome(
        "ended",
        test.model_name,
        test.id,
        test.champion_version,
        test.challenger_version,
        "stopped",
        paragraph,
    )


def _next(engine: Engine, client: MlflowClient, name: str, day: date, settings: Thresholds) -> list[Outcome]:
    try:
        test = start_experiment(engine, client, name, day=day, started_by=STARTED_BY, settings=settings)
    except ExperimentRuns:
        return []
    except NothingToTest as gap:
        return [Outcome("gap", name, paragraph=str(gap))]
    return [
        Outcome(
            "started",
            name,
            test.id,
            test.champion_version,
            test.challenger_version,
            paragraph=_beginning(test),
        )
    ]


def _beginning(test: AbTest) -> str:
    share = test.settings["challenger_share"]
    return (
        f"v{test.challenger_version} answers {share:.0%} of the {test.unit}s from now on, v"
        f"{test.champion_version} the rest; it counts from {test.first_day} on. {test.smallest_effect}"
    )
