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
class CtrSettings:
    """One training.

    Attributes:
        min_rows, min_clicks: below either, nothing is trained.
        test_share, validation_share: parts of the days (or ads).
        seed: of everything random.
        xgboost: the member's hyper-parameters.
    """

    min_rows: int
    min_clicks: int
    test_share: float
    validation_share: float
    seed: int
    xgboost: XgboostSettings

    def flat(self) -> dict[str, float | int]:
        """Every setting by name, for the log and for the training's identity. Threads change no result."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "xgboost"}
        return own | {
            f"xgboost_{k}": v for k, v in dataclasses.asdict(self.xgboost).items() if k != "threads"
        }
