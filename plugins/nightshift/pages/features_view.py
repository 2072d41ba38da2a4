"""What the page about mined features shows: definitions, coverage, and the newest verdict of each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from include.config import thresholds
from include.db.mined import coverage, newest_mined_day
from include.db.mined_reports import KeptFeatureReport, newest_feature_reports
from ml.features.mined_definitions import MINED_FEATURES
from ml.features.mined_formulas import GROUPS, MinedFeature

if TYPE_CHECKING:
    from sqlalchemy import Engine

TARGETS = {"ctr": "click rates", "conversion": "purchases per click"}
TONES = {"earns its place": "good", "harmful": "bad"}


@dataclass(frozen=True)
class Cost:
    """What forgetting a feature, a group or everything costs, in per mille of the entropy.

    Attributes:
        verdict: in words.
        tone: of its mark.
    """

    value: float
    low: float
    high: float
    verdict: str
    tone: str
    used: bool

    @property
    def span(self) -> str:
        """Value and interval, readable."""
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class FeatureLine:
    """One feature.

    Attributes:
        known: share of recent ad-days that have it; None where nothing was mined.
        costs: by target; without an entry it was not judged.
        in_use: whether the CTR model is told.
    """

    feature: MinedFeature
    known: float | None
    costs: Mapping[str, Cost]
    in_use: bool


@dataclass(frozen=True)
class Judgement:
    """The newest report on one target.

    Attributes:
        what: is predicted, in words.
        groups: name and what relearning without it costs.
    """

    target: str
    what: str
    day: date
    summary: str
    judged_by: str
    gain: Cost
    groups: tuple[tuple[str, Cost], ...]


@dataclass(frozen=True)
class FeaturesPage:
    """Everything on the page.

    Attributes:
        mined_until: the newest mined day; None without any.
        rows: ad-days of the last `days`.
        lines: by group, in the order of the definitions.
    """

    mined_until: date | None
    days: int
    rows: int
    judgements: tuple[Judgement, ...]
    lines: tuple[tuple[str, tuple[FeatureLine, ...]], ...]


def features_page(engine: Engine) -> FeaturesPage:
    """The page as of now."""
    limits = thresholds()
    until = newest_mined_day(engine)
    days = limits.mined.shown_days
    rows, known = coverage(engine, until, days) if until else (0, {})
    reports = newest_feature_reports(engine)
    costs: dict[str, dict[str, Cost]] = {}
    for report in reports:
        for told in report.numbers["features"]:
            costs.setdefault(told["name"], {})[report.target] = _cost(told)
    lines = [
        FeatureLine(
            feature,
            known.get(feature.name),
            costs.get(feature.name, {}),
            feature.name in limits.ctr.mined_features,
        )
        for feature in MINED_FEATURES
    ]
    return FeaturesPage(
        mined_until=until,
        days=days,
        rows=rows,
        judgements=tuple(
            map(_judgement, sorted(reports, key=lambda report: list(TARGETS).index(report.target)))
        ),
        lines=tuple(
            (name, tuple(line for line in lines if line.feature.group == group))
            for group, name in GROUPS.items()
        ),
    )


def _judgement(report: KeptFeatureReport) -> Judgement:
    numbers = report.numbers
    first, last = numbers["judged_by"]
    return Judgement(
        target=report.target,
        what=TARGETS[report.target],
        day=report.report_date,
        summary=report.summary,
        judged_by=f"{numbers['ads']:,} ads, {numbers['rows']:,} ad-days from {first} to {last}",
        gain=_cost(numbers["gain"]),
        groups=tuple((GROUPS.get(told["name"], told["name"]), _cost(told)) for told in numbers["groups"]),
    )


def _cost(told: Mapping[str, Any]) -> Cost:
    verdict = str(told["verdict"])
    values = (1000 * float(told[name]) for name in ("value", "low", "high"))
    return Cost(*values, verdict, TONES.get(verdict, ""), bool(told["used"]))
