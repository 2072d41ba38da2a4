"""The typed form of the section about Meta: what is asked, how patiently, and how carefully it is checked."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section

ApiVersion = Annotated[str, Field(pattern=r"^v[0-9]+\.[0-9]+$")]
Percent = Annotated[float, Field(gt=0, lt=100)]


class ReportThresholds(Section):
    """Report runs: questions that Meta works on while we wait."""

    from_days: PositiveInt
    from_rows: PositiveInt
    in_flight: PositiveInt
    poll_s: PositiveFloat
    longest_poll_s: PositiveFloat
    stuck_s: PositiveFloat
    attempts: PositiveInt
    hold_s: PositiveFloat
    deadline_minutes: PositiveInt


class UsageThresholds(Section):
    """How close to Meta's limits we go."""

    slow_percent: Percent
    longest_pause_s: PositiveFloat


class AdsThresholds(Section):
    """Meta insights."""

    api_version: ApiVersion
    restatement_days: PositiveInt
    catch_up_days: PositiveInt
    backfill_slice_days: PositiveInt
    backfill_months: PositiveInt
    breakdowns: tuple[str, ...]
    breakdown_tolerance_usd: Decimal
    accounts_per_task: PositiveInt
    page_size: PositiveInt
    http_timeout_s: PositiveFloat
    http_attempts: PositiveInt
    http_longest_wait_s: PositiveFloat
    reports: ReportThresholds
    usage: UsageThresholds
    keep_load_days: PositiveInt
    import_problems_shown: PositiveInt
    import_max_megabytes: PositiveInt

    @model_validator(mode="after")
    def _once_each(self) -> "AdsThresholds":
        if len(set(self.breakdowns)) != len(self.breakdowns):
            raise ValueError("breakdowns names one of them twice")
        return self
