"""The typed form of the section about promotions."""

from typing import Annotated

from pydantic import Field

from include.config.section import PositiveInt, Section


class PromotionThresholds(Section):
    """How versions become champion."""

    # Shorter than the week after which Airflow ends a run of promote_model.
    approval_hours: Annotated[int, Field(gt=0, le=144)]
    automatic: tuple[str, ...]
    approvers: tuple[str, ...]
    roll_back_pause_minutes: PositiveInt
    told_hours: PositiveInt
    webhook_tolerance_s: PositiveInt
    metrics_shown: PositiveInt

    def is_automatic(self, model: str) -> bool:
        """Whether a model may be promoted without a person: it or its family is named in `automatic`."""
        return any(model == name or model.startswith(f"{name}_") for name in self.automatic)
