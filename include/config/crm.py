"""The typed form of the section about the CRM."""

from typing import Annotated

from pydantic import Field, model_validator

from include.config.section import PositiveFloat, PositiveInt, Section

PropertyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class CrmThresholds(Section):
    """HubSpot: how it is read, how politely, and what of its texts is kept."""

    search_lag_minutes: PositiveInt
    deals_per_step: PositiveInt
    search_page: Annotated[int, Field(gt=0, le=200)]
    list_page: Annotated[int, Field(gt=0, le=100)]
    history_page: Annotated[int, Field(gt=0, le=50)]
    association_ids: Annotated[int, Field(gt=0, le=1000)]
    longest_url: PositiveInt
    calls_per_ten_seconds: PositiveInt
    searches_per_second: PositiveInt
    limit_share: Annotated[float, Field(gt=0, le=1)]
    http_timeout_s: PositiveFloat
    http_attempts: PositiveInt
    http_longest_wait_s: PositiveFloat
    text_properties: tuple[PropertyName, ...]
    reason_chars: PositiveInt
    least_key_chars: PositiveInt
    refetched_at_most: PositiveInt
    notes_shown: PositiveInt
    incomplete_days: PositiveInt
    import_problems_shown: PositiveInt
    import_max_megabytes: PositiveInt

    @model_validator(mode="after")
    def _whole_pages(self) -> "CrmThresholds":
        if self.deals_per_step < self.history_page:
            raise ValueError("deals_per_step must be at least history_page")
        return self
