"""What a training can be told. Values come from the caller's configuration; none are hidden."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class XgboostSettings:
    """Hyper-parameters of the XGBoost member.

    Attributes:
        rounds: most trees to grow.
        early_stopping_rounds: stop when this many trees did not help on the validation part.
        learning_rate: what each tree contributes.
        max_depth: of a tree.
        min_child_weight: least evidence in a leaf. In a binomial model weighted by impressions this is close
            to the expected number of clicks in it.
        reg_lambda: pulls leaves towards zero, in the same unit.
        threads: CPU threads. Results are the same with any number. On a busy machine a second thread that
            has to wait made training seven times slower, and one does 50,000 rows in four seconds.
    """

    rounds: int
    early_stopping_rounds: int
    learning_rate: float
    max_depth: int
    min_child_weight: float
    reg_lambda: float
    threads: int = 1


@dataclass(frozen=True)
class LightgbmSettings:
    """Hyper-parameters of the LightGBM member; see `XgboostSettings` for those of the same name.

    Attributes:
        leaves: most leaves of a tree.
        feature_share: of the columns, drawn for each tree.
    """

    rounds: int
    early_stopping_rounds: int
    learning_rate: float
    leaves: int
    min_child_weight: float
    reg_lambda: float
    feature_share: float
    threads: int = 1


@dataclass(frozen=True)
class MlpSettings:
    """Hyper-parameters of the neural member.

    Attributes:
        epochs: most passes over the training rows.
        patience: stop when so many epochs did not help on the validation part.
        batch_rows: rows of one step.
        learning_rate, weight_decay: of AdamW.
        hidden: width of the first hidden layer; the second has half of it.
        unknown_share: of the categories of a training row that are hidden, so that "unknown" is learnt.
        threads: CPU threads.
    """

    epochs: int
    patience: int
    batch_rows: int
    learning_rate: float
    weight_decay: float
    hidden: int
    unknown_share: float
    threads: int = 1


@dataclass(frozen=True)
class EnsembleSettings:
    """How members become one model.

    Attributes:
        combine: `greedy`, `logit_stack`, `inverse_loss` or `equal`.
        steps: of the greedy selection.
        prior_sd: how far from 0 the intercept, and from 1 the slope, of the calibration lies a priori.
        constant_confidence: one-sided, with which the ensemble must beat the constant on the validation part;
            otherwise the constant is what ships.
    """

    combine: str
    steps: int
    prior_sd: float
    constant_confidence: float


@dataclass(frozen=True)
class NicheSettings:
    """Models of single niches.

    Attributes:
        min_clicks: in each part, below which a niche has no model of its own.
        confidence: one-sided and over all niches together, with which a niche's model must beat the global
            one on rows it did not see.
        rounds, learning_rate, max_depth: of its trees, which start at the global model.
    """

    min_clicks: int
    confidence: float
    rounds: int
    learning_rate: float
    max_depth: int


@dataclass(frozen=True)
class IncrementalSettings:
    """Updates of a version there is.

    Attributes:
        min_rows: new rows, below which nothing is trained.
        rounds, epochs: trees, and passes of the neural member, that are added.
        shift_sd: how far from 0 the move of all log-odds lies a priori.
        judged_share: of the new days that judge and are not learnt from.
        judged_ads: fewer cannot tell an update from luck.
        confidence: one-sided and over all updates tried together, with which one must beat its parent.
    """

    min_rows: int
    rounds: int
    epochs: int
    shift_sd: float
    judged_share: float
    judged_ads: int
    confidence: float


@dataclass(frozen=True)
class GateSettings:
    """What a version must show on the test part before it may become challenger.

    Attributes:
        calibration_error_pp: most, in percentage points.
        ratio_low, ratio_high: between which predicted over actual clicks must lie.
    """

    calibration_error_pp: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True)
class CtrSettings:
    """One training.

    Attributes:
        min_rows, min_clicks: below either, nothing is trained.
        test_share, validation_share: parts of the days (or ads).
        seed: of everything random.
        others: of the members and of what is made of them.
    """

    min_rows: int
    min_clicks: int
    test_share: float
    validation_share: float
    seed: int
    xgboost: XgboostSettings
    lightgbm: LightgbmSettings
    mlp: MlpSettings
    ensemble: EnsembleSettings
    niche: NicheSettings
    incremental: IncrementalSettings
    gates: GateSettings

    def flat(self) -> dict[str, float | int | str]:
        """Every setting by name, for the log and for the training's identity. Threads change no result."""
        told: dict[str, float | int | str] = {}
        for own in dataclasses.fields(self):
            value = getattr(self, own.name)
            if dataclasses.is_dataclass(value):
                parts = dataclasses.asdict(value)  # type: ignore[arg-type]
                told |= {f"{own.name}_{name}": part for name, part in parts.items() if name != "threads"}
            else:
                told[own.name] = value
        return told
