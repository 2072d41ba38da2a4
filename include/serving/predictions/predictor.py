"""From rows to rates: arm, store, bundle, log. Knows nothing of HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import anyio.to_thread

from include.config.predictions import PredictionThresholds
from include.db.predictions import LoggedPrediction
from include.serving.predictions.log import PredictionLog
from include.serving.predictions.metrics import Metrics
from include.serving.predictions.models import CHALLENGER, CHAMPION, Served, ServedModels, Version
from include.serving.predictions.precomputed import PrecomputedRates, features_hash, key_of
from ml.experiments import assign


class ModelNotServed(Exception):
    """No version of this model answers."""


@dataclass(frozen=True)
class Asked:
    """One row to predict.

    Attributes:
        account_id: whose ad it is; the unit of an experiment by account.
        row: column -> value.
        unit: of an experiment by request.
        ad_id, about_day: which ad on which day, where the caller knows; only these can be compared with what
            happens.
        daily_budget: money a day, for the clicks to expect.
    """

    account_id: str
    row: Mapping[str, Any]
    unit: str
    ad_id: str | None = None
    about_day: date | None = None
    daily_budget: float | None = None


@dataclass(frozen=True)
class Predicted:
    """One answer.

    Attributes:
        id: of the line in the log.
        rate: clicks per impression.
        source: `precomputed` or `computed`.
        expected_clicks: of the budget, None without one or without knowing what impressions cost.
    """

    id: uuid.UUID
    rate: float
    version: int
    arm: str
    experiment: int | None
    source: str
    expected_clicks: float | None


class Predictor:
    """Answers rows with the models that are served."""

    def __init__(
        self,
        models: ServedModels,
        store: PrecomputedRates,
        journal: PredictionLog,
        metrics: Metrics,
        limits: PredictionThresholds,
    ) -> None:
        self.models, self.store, self.journal, self.metrics, self.limits = (
            models,
            store,
            journal,
            metrics,
            limits,
        )

    async def predict(self, model_name: str, asked: Sequence[Asked]) -> list[Predicted]:
        """Rates for all rows, by the versions that are served at this moment.

        Raises:
            ModelNotServed: the model is not known here, or has no version that can be served.
        """
        began = time.perf_counter()
        served = self.models.current.get(model_name)
        if served is None:
            raise ModelNotServed(model_name)
        asked = [replace(each, row=self._filled(each)) for each in asked]
        arms = [_arm(served, each) for each in asked]
        hashes, rates, sources, seconds = await self._rates(served, asked)
        latency = time.perf_counter() - began
        self.metrics.answered(model_name, sources, latency, len(asked))
        now = datetime.now(UTC)
        answers, lines = [], []
        for place, (each, arm) in enumerate(zip(asked, arms, strict=True)):
            own, other = _of_arms(served, arm)
            answer = Predicted(
                id=uuid.uuid4(),
                rate=rates[own.number][place],
                version=own.number,
                arm=arm,
                experiment=served.experiment.id if served.experiment else None,
                source=sources[place],
                expected_clicks=self._clicks(each, rates[own.number][place]),
            )
            answers.append(answer)
            lines.append(
                LoggedPrediction(
                    id=answer.id,
                    predicted_at=now,
                    model_name=model_name,
                    model_version=own.number,
                    arm=arm,
                    ab_test_id=answer.experiment,
                    unit_key=_unit(served, each),
                    account_id=each.account_id,
                    ad_id=each.ad_id,
                    about_day=each.about_day,
                    features_hash=hashes[place],
                    rate=answer.rate,
                    other_version=other.number if other else None,
                    other_rate=rates[other.number][place] if other else None,
                    source=sources[place],
                    # Without the time of the version that was only asked for comparison.
                    latency_us=int((latency - (seconds[other.number] if other else 0.0)) * 1e6),
                )
            )
        self.journal.add(lines)
        return answers

    async def _rates(
        self, served: Served, asked: Sequence[Asked]
    ) -> tuple[list[str], dict[int, list[float]], list[str], dict[int, float]]:
        """Hash of each row, version -> rates, where each row's rates came from, and version -> seconds."""
        versions = [version for version in (served.champion, served.challenger) if version is not None]
        hashes = [features_hash(served.champion.bundle.columns, each.row) for each in asked]
        keys = [
            key_of(served.model_name, version.number, _hash_for(version, served, hashed, each))
            for version in versions
            for hashed, each in zip(hashes, asked, strict=True)
        ]
        known = await self.store.get(keys)
        rates: dict[int, list[float]] = {}
        seconds: dict[int, float] = {}
        computed = [False] * len(asked)
        for turn, version in enumerate(versions):
            found = known[turn * len(asked) : (turn + 1) * len(asked)]
            missing = [place for place, rate in enumerate(found) if rate is None]
            began = time.perf_counter()
            fresh = await self._computed(version, [asked[place].row for place in missing])
            seconds[version.number] = time.perf_counter() - began
            for place, rate in zip(missing, fresh, strict=True):
                found[place] = rate
                computed[place] = True
            rates[version.number] = [float(rate) for rate in found if rate is not None]
        return hashes, rates, ["computed" if done else "precomputed" for done in computed], seconds

    async def _computed(self, version: Version, rows: list[Mapping[str, Any]]) -> list[float]:
        if not rows:
            return []
        if len(rows) <= self.limits.inline_rows:
            return [float(rate) for rate in version.bundle.predict(rows)]
        # So that somebody who asks for one row does not wait for somebody else's thousand.
        found = await anyio.to_thread.run_sync(version.bundle.predict, rows)
        return [float(rate) for rate in found]

    def _filled(self, asked: Asked) -> dict[str, Any]:
        return self.models.past.filled(asked.row, asked.account_id, asked.ad_id, asked.about_day)

    def _clicks(self, asked: Asked, rate: float) -> float | None:
        costs = self.models.costs
        price = costs.get(str(asked.row.get("niche") or ""), costs.get(""))
        if asked.daily_budget is None or not price:
            return None
        return asked.daily_budget / price * 1000 * rate


def _unit(served: Served, asked: Asked) -> str:
    by_request = served.experiment is not None and served.experiment.unit == "request"
    return asked.unit if by_request else asked.account_id


def _arm(served: Served, asked: Asked) -> str:
    if served.experiment is None or served.challenger is None:
        return CHAMPION
    experiment = served.experiment
    return str(
        assign(_unit(served, asked), salt=experiment.salt, challenger_share=experiment.challenger_share)
    )


def _of_arms(served: Served, arm: str) -> tuple[Version, Version | None]:
    """The version that answers and, in an experiment, the one that is asked for comparison."""
    if served.challenger is None:
        return served.champion, None
    return (served.challenger, served.champion) if arm == CHALLENGER else (served.champion, served.challenger)


def _hash_for(version: Version, served: Served, hashed: str, asked: Asked) -> str:
    """A challenger may know other columns than the champion, and then sees another row."""
    same = version.bundle.columns == served.champion.bundle.columns
    return hashed if same else features_hash(version.bundle.columns, asked.row)
