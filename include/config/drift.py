"""The typed form of the section about drift: when data counts as drifted, and what follows."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section, Share

Severity = Literal["low", "medium", "high", "critical"]
Decision = Literal["no_action", "alert", "incremental", "update"]
# An unquoted SQL name, with its schema where it is a table's.
SqlName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")]


class Levels(Section):
    """The least value of each severity."""

    low: PositiveFloat
    medium: PositiveFloat
    high: PositiveFloat
    critical: PositiveFloat

    @model_validator(mode="after")
    def _rise(self) -> "Levels":
        levels = [self.low, self.medium, self.high, self.critical]
        if levels != sorted(set(levels)):
            raise ValueError("low, medium, high and critical must rise in this order")
        return self


class EvidenceThresholds(Section):
    """False discovery rates."""

    usual: Share
    severe: Share
    certain: Share

    @model_validator(mode="after")
    def _stricter(self) -> "EvidenceThresholds":
        if not self.certain <= self.severe <= self.usual:
            raise ValueError("certain must be at most severe, and severe at most usual")
        return self


class ActionThresholds(Section):
    """What each severity calls for."""

    low: Decision
    medium: Decision
    high: Decision
    critical: Decision


class RetrainThresholds(Section):
    """When a retrain may be asked for."""

    least_rows: PositiveInt
    cooldown_days: PositiveInt
    budget: PositiveInt
    recent_days: PositiveInt


class QualityThresholds(Section):
    """When something is wrong with the data."""

    p_value: Share
    missing_change: Share
    new_levels_share: Share
    out_of_range_share: Share
    unusable_rise: Share
    volume_low: Share
    volume_high: Annotated[float, Field(gt=1)]
    broken: Levels


class AdsModel(Section):
    """A model of click rates that learns from the ads of accounts."""

    source: Literal["ads"]


class TableModel(Section):
    """A model whose inputs, answers and outcomes are in a table or view, a row each.

    `prediction` and `outcome` may be null in rows that have none yet. With `exposure` the prediction is a
    rate and the outcome a count of it. With `key`, a row that is there twice counts once.
    """

    source: Literal["table"]
    table: SqlName
    day: SqlName
    cluster: SqlName
    inputs: Annotated[tuple[SqlName, ...], Field(min_length=1)]
    prediction: SqlName | None = None
    outcome: SqlName | None = None
    exposure: SqlName | None = None
    niche: SqlName | None = None
    scope: SqlName | None = None
    key: tuple[SqlName, ...] = ()
    loss: Literal["log_loss", "squared_error"]
    judged_metric: str | None = None


WatchedModel = Annotated[AdsModel | TableModel, Field(discriminator="source")]


class DriftThresholds(Section):
    """When data counts as drifted, and what follows."""

    min_rows: PositiveInt
    min_clusters: PositiveInt
    sample_rows: PositiveInt
    piece_rows: PositiveInt
    current_days: PositiveInt
    newest_days: PositiveInt
    reference_days: PositiveInt
    psi_drifted: PositiveFloat
    evidence: EvidenceThresholds
    features: Levels
    prediction: Levels
    outcomes: Levels
    cost: Levels
    quality: QualityThresholds
    harmless_at_most: Severity
    measured_at_most: Severity
    niche_at_most: Severity
    actions: ActionThresholds
    alert_from: Literal["medium", "high", "critical"]
    recovery_days: PositiveInt
    retrain: RetrainThresholds
    models: dict[str, WatchedModel]

    @model_validator(mode="after")
    def _told_and_trained(self) -> "DriftThresholds":
        levels = list(get_args(Severity))
        for level in levels[: levels.index(self.alert_from)]:
            if getattr(self.actions, level) == "alert":
                raise ValueError(
                    f"actions.{level} is alert, but people are told from {self.alert_from} on only"
                )
        if {name for name, model in self.models.items() if isinstance(model, AdsModel)} - {"ctr"}:
            raise ValueError("models: only ctr learns from the ads of accounts; give the others a table")
        return self
