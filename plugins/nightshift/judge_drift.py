"""One model's verdict for one day: which rows are compared with which, and what else is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from nightshift.drift_sources import AdsSource, Source, TableSource, complete_lags_since
from nightshift.errors import NoPerformanceRows
from nightshift.train_model import FAMILY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import Engine

    from include.config.drift import DriftThresholds
    from ml.drift.decision import Situation
    from ml.drift.reference import Reference
    from ml.drift.verdict import Day, DriftVerdict
    from ml.drift.windows import Window
    from ml.registry import RegisteredVersion

# How far back earlier requests for a retrain are looked for; more than the budget's 30 days.
_HISTORY_DAYS = 60


@dataclass(frozen=True)
class Watch:
    """One model on one day.

    Attributes:
        engine, client, tracking_uri: the `nightshift` database and MLflow.
        family, scope, name: of the registered model.
        best: the champion.
        day: last of the newest days.
        limits: the thresholds.
    """

    engine: Engine
    client: MlflowClient
    tracking_uri: str
    family: str
    scope: str
    name: str
    best: RegisteredVersion
    day: date
    limits: DriftThresholds

    @property
    def start(self) -> date:
        """First of the newest days."""
        return self.day - timedelta(days=self.limits.current_days - 1)


def no_champion(family: str, name: str, day: date, limits: DriftThresholds) -> DriftVerdict:
    """The verdict on a model that nobody made yet."""
    from ml.drift.decision import Situation
    from ml.drift.verdict import no_verdict
    from nightshift.drift_settings import drift_settings

    hint = "run train_ctr_model, or give" if family == FAMILY else "give"
    reason = f"model '{name}' has no champion yet; {hint} a version the alias in MLflow"
    return no_verdict(reason, Situation(day, name, 0), drift_settings(limits))


def judged(watch: Watch) -> tuple[DriftVerdict, tuple[Reference, Window] | None]:
    """The verdict, and what its pictures are drawn from: None where nothing could be compared.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.db.watched_tables import WatchedTableInvalid
    from ml.drift.verdict import no_verdict
    from ml.features import FeatureInputInvalid
    from nightshift.drift_settings import drift_settings

    source = _source(watch)
    situation = _situation(watch, source)
    try:
        return _compared(watch, source, situation)
    except (NoPerformanceRows, FeatureInputInvalid, WatchedTableInvalid) as error:
        return no_verdict(str(error), situation, drift_settings(watch.limits)), None


def _compared(
    watch: Watch, source: Source, situation: Situation
) -> tuple[DriftVerdict, tuple[Reference, Window] | None]:
    from ml.drift.reference import Reference
    from ml.drift.sums import DaySums
    from ml.drift.verdict import judge_day, no_verdict
    from nightshift.drift_settings import broken_ladder, drift_settings, quality_settings

    limits = watch.limits
    settings = drift_settings(limits)
    rules = (settings, quality_settings(limits.quality), broken_ladder(limits.quality))
    told = _day(watch, source, situation)
    if isinstance(source, AdsSource) and (campaigns := source.campaigns(watch.start, watch.day)):
        before, now = campaigns
        columns = source.columns(before)
        reference = Reference.of(before, (before,), columns, source.loss, sample_rows=limits.sample_rows)
        return judge_day(reference, DaySums.of(reference, (now,)), told, *rules, label=now.label), (
            reference,
            now,
        )
    period = _reference_period(watch, source)
    if isinstance(period, str):
        return no_verdict(period, situation, settings), None
    reference = _reference(watch, source, *period)
    repeated = source.repeated(watch.start, watch.day)
    verdict = judge_day(
        reference,
        DaySums.of(reference, source.pieces(watch.start, watch.day)),
        told,
        *rules,
        label=f"{watch.start} to {watch.day}",
        notes=[f"{repeated:,} rows are there twice and count once."] if repeated else [],
    )
    return verdict, (reference, source.sample(watch.start, watch.day, limits.sample_rows))


def _source(watch: Watch) -> Source:
    from include.config.drift import TableModel
    from ml.ctr import ModelFilesInvalid
    from ml.registry import load_ctr_model

    spec = watch.limits.models[watch.family]
    if isinstance(spec, TableModel):
        return TableSource(watch.engine, watch.scope, spec, watch.limits.piece_rows)
    try:
        model = load_ctr_model(watch.tracking_uri, watch.best.uri)
    except ModelFilesInvalid:
        # Made by older code: what it was told can still be compared.
        model = None
    return AdsSource(watch.engine, watch.scope, model)


def _day(watch: Watch, source: Source, situation: Situation) -> Day:
    from include.db.ml import drift_reports
    from ml.drift.telling import observed_by_niche
    from ml.drift.verdict import Day

    yesterday = watch.day - timedelta(days=1)
    before = [
        report
        for report in drift_reports(watch.engine, since=yesterday, until=yesterday, scope=watch.scope)
        # Another champion is another question.
        if report.model_name == watch.name and report.model_version == watch.best.version
    ]
    last = watch.best.tags.get("window_end")
    return Day(
        day=watch.day,
        current_days=watch.limits.current_days,
        newest_days=watch.limits.newest_days,
        learnt_until=date.fromisoformat(last) if last else None,
        judged_loss=watch.best.metrics.get(source.judged_metric or ""),
        observed_before=observed_by_niche(before[0].numbers) if before else {},
        situation=situation,
    )


def _situation(watch: Watch, source: Source) -> Situation:
    from include.db.drift import newest_report_day, retrain_requests
    from include.db.ml import training_in_progress
    from ml.drift.decision import Situation

    since = watch.day - timedelta(days=_HISTORY_DAYS)
    newest = newest_report_day(watch.engine, watch.name, watch.scope)
    return Situation(
        day=watch.day,
        model=f"{watch.name} v{watch.best.version}",
        unseen_rows=0,
        asked_on=tuple(retrain_requests(watch.engine, watch.name, watch.scope, since)),
        judged_later=newest if newest and newest > watch.day else None,
        training_runs=training_in_progress(watch.engine, watch.name),
        waiting=_waiting(watch),
        can_retrain=source.can_retrain,
    )


def _waiting(watch: Watch) -> str:
    """A challenger that has learnt at least half of the current window, which the champion has not."""
    from ml.registry import CHALLENGER, aliases_of, find_version

    number = aliases_of(watch.client, watch.name).get(CHALLENGER)
    found = find_version(watch.client, watch.name, number) if number is not None else None
    known = watch.best.tags.get("window_end") or ""
    last = (found.tags.get("window_end") or "") if found else ""
    if found is None or not last or last <= known:
        return ""
    half = watch.day - timedelta(days=watch.limits.current_days // 2)
    return f"v{found.version}" if date.fromisoformat(last) >= half else ""


def _reference_period(watch: Watch, source: Source) -> tuple[date, date] | str:
    """First and last day of the reference, or why there is none."""
    first, last = (watch.best.tags.get(f"window_{end}") or "" for end in ("start", "end"))
    until = watch.start - timedelta(days=1)
    if last:
        until = min(date.fromisoformat(last), until)
    since = until - timedelta(days=watch.limits.reference_days - 1)
    if first:
        since = max(since, date.fromisoformat(first))
    if since > until:
        return (
            f"champion v{watch.best.version} learnt from {first} to {last}, which leaves no day before "
            f"{watch.start}"
        )
    if isinstance(source, AdsSource):
        since = complete_lags_since(source, since, until, watch.limits.current_days)
    return since, until


def _reference(watch: Watch, source: Source, since: date, until: date) -> Reference:
    """The reference as it was kept with the version, or made now and kept."""
    from ml.drift.reference import Reference
    from ml.registry import keep_reference, kept_reference

    # What else would make another reference: the columns watched, and where they come from.
    others = hashlib.sha256(source.identity.encode()).hexdigest()[:8]
    name = f"{since}_{until}_{others}"
    content = kept_reference(watch.client, watch.best.run_id, name)
    found = Reference.load(content) if content else None
    if found is not None:
        return found
    sample = source.sample(since, until, watch.limits.piece_rows)
    made = Reference.of(
        sample,
        source.pieces(since, until),
        source.columns(sample),
        source.loss,
        sample_rows=watch.limits.sample_rows,
    )
    keep_reference(watch.client, watch.best.run_id, name, made.dump())
    return made
