"""Starts an experiment: the next challenger in line, or the one that somebody names."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine

from include.config import Thresholds
from include.config.predictions import ExperimentThresholds
from include.db import experiments
from include.db.ads import accounts
from include.db.experiments import AbTest
from include.experiments.errors import ExperimentRefused, ExperimentRuns, NothingToTest
from ml.experiments import ExperimentSettings, smallest_effect, smallest_effect_in_loss
from ml.registry import CHALLENGER, CHAMPION, aliases_of
from ml.registry.aliases import version_exists
from ml.registry.errors import registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

# As the service does: only these models are asked for predictions.
FAMILY = "ctr"


def is_served(model_name: str) -> bool:
    """Whether predictions of this model are asked over HTTP, so that traffic can be shared."""
    return model_name == FAMILY or model_name.startswith(f"{FAMILY}_")


def start_experiment(
    engine: Engine,
    client: MlflowClient,
    model_name: str,
    *,
    day: date,
    started_by: str,
    settings: Thresholds,
    challenger: int | None = None,
    unit: str | None = None,
    challenger_share: float | None = None,
    min_days: int | None = None,
) -> AbTest:
    """Start an experiment; it counts from the day after `day` on.

    Args:
        engine: the `nightshift` database.
        client: of MLflow.
        model_name: registered model.
        day: today.
        started_by: who or what.
        settings: all thresholds.
        challenger: a version; None takes the next in line.
        unit, challenger_share, min_days: where they differ from the thresholds.

    Raises:
        ExperimentRuns: one runs already.
        NothingToTest: no version is left that was not tested against this champion.
        ExperimentRefused: no champion, no such version, or the model is not served.
        ExperimentSettingsInvalid: a share or a number of days that cannot be.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    limits = _limits(settings.experiments, unit, challenger_share, min_days)
    plan = experiment_settings(limits)
    champion = _champion(client, model_name)
    running = [test for test in experiments.running_experiments(engine) if test.model_name == model_name]
    if running:
        raise ExperimentRuns(
            f"experiment {running[0].id} of '{model_name}' runs since {running[0].started_at:%Y-%m-%d}: stop "
            "it first, or wait for its verdict"
        )
    if challenger is None:
        challenger = next_challenger(engine, client, model_name, champion)
    elif challenger == champion or not version_exists(client, model_name, challenger):
        what = "is the champion itself" if challenger == champion else "does not exist"
        raise ExperimentRefused(f"v{challenger} of '{model_name}' {what}: name another version")
    impressions, rate = experiments.traffic_a_day(
        engine, model_name, day - timedelta(days=limits.history_days)
    )
    started = experiments.open_experiment(
        engine,
        model_name=model_name,
        champion_version=champion,
        challenger_version=challenger,
        unit=limits.unit,
        salt=secrets.token_hex(8),
        settings=limits.model_dump(),
        smallest_effect=_can_show(impressions, rate, plan, _losses(engine, limits, day)),
        started_by=started_by,
        first_day=day + timedelta(days=1),
    )
    if started is None:
        raise ExperimentRuns(f"somebody else has just started an experiment of '{model_name}'")
    return started


def next_challenger(engine: Engine, client: MlflowClient, model_name: str, champion: int) -> int:
    """The version to be tested next: the challenger, else the newest that passed its gates.

    Only versions that are newer than the champion and were not tested against it are in line.

    Raises:
        NothingToTest: there is none.
    """
    tested = {
        test.challenger_version
        for test in experiments.experiments_of(engine, model_name)
        if test.champion_version == champion and test.state not in ("running", "stopped")
    }
    with registry_errors(f"list the versions of '{model_name}'"):
        versions = client.search_model_versions(f"name='{model_name}'")
    passed = [
        int(version.version)
        for version in versions
        if int(version.version) > champion and version.tags.get("alias_state") != "withheld"
    ]
    holder = aliases_of(client, model_name).get(CHALLENGER)
    line = sorted(passed, key=lambda number: (number == holder, number), reverse=True)
    left = [number for number in line if number not in tested]
    if not left:
        raise NothingToTest(
            f"'{model_name}' has no version newer than champion v{champion} that was not tested against it: "
            "the next training makes one"
        )
    return left[0]


def experiment_settings(limits: ExperimentThresholds) -> ExperimentSettings:
    """The plan that the statistics take."""
    names = (
        "challenger_share",
        "min_days",
        "max_days",
        "alpha",
        "power",
        "min_effect",
        "harm_effect",
        "min_units_per_arm",
        "srm_alpha",
    )
    return ExperimentSettings(**{name: getattr(limits, name) for name in names})


def _limits(
    limits: ExperimentThresholds, unit: str | None, challenger_share: float | None, min_days: int | None
) -> ExperimentThresholds:
    changes = {"unit": unit, "challenger_share": challenger_share, "min_days": min_days}
    told = {name: value for name, value in changes.items() if value is not None}
    days = told.get("min_days", limits.min_days)
    return limits.model_copy(update={**told, "max_days": max(limits.max_days, int(str(days)))})


def _champion(client: MlflowClient, model_name: str) -> int:
    if not is_served(model_name):
        raise ExperimentRefused(
            f"predictions of '{model_name}' are not asked over HTTP, so there is no traffic to share: "
            f"experiments are for {FAMILY} and {FAMILY}_<account>"
        )
    champion = aliases_of(client, model_name).get(CHAMPION)
    if champion is None:
        raise ExperimentRefused(
            f"'{model_name}' has no champion to test against: run train_ctr_model, or promote a version"
        )
    return champion


def _losses(engine: Engine, limits: ExperimentThresholds, day: date) -> list[float]:
    """Past loss of every account, where accounts are what is assigned."""
    if limits.unit != "account":
        return []
    ids = [account.account_id for account in accounts(engine)]
    since = day - timedelta(days=limits.history_days)
    return list(experiments.past_losses(engine, ids, since, day).values())


def _can_show(impressions: float, rate: float, plan: ExperimentSettings, losses: list[float]) -> str:
    """What the traffic can show: by its clicks or, where that is worse, by how much accounts differ."""
    if not impressions or not 0 < rate < 1:
        return "There is no traffic yet by which to tell what this experiment can show."
    share, alpha, power = plan.challenger_share, plan.alpha, plan.power
    found = [
        smallest_effect(
            impressions_a_day=impressions,
            rate=rate,
            challenger_share=share,
            days=plan.min_days,
            alpha=alpha,
            power=power,
        )
    ]
    if len(losses) > 2:
        mean, sd = float(np.mean(losses)), float(np.std(losses, ddof=1))
        found.append(
            smallest_effect_in_loss(
                units=len(losses), mean=mean, sd=sd, challenger_share=share, alpha=alpha, power=power
            )
        )
        found[-1] = replace(found[-1], sentence=found[-1].sentence.replace(" units,", " accounts,", 1))
    return max(found, key=lambda effect: effect.relative).sentence
