"""What may be asked of the CTR models and what is answered, as the HTTP API and its page show it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, create_model

from include.serving.llm_bodies import Name
from ml.features import AD_FEATURES

# What the service knows itself, and a caller need not name.
_OURS = {"account_id"}

Category = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Number = Annotated[float | None, Field(allow_inf_nan=False, strict=True)]

Features = create_model(
    "Features",
    __config__=ConfigDict(extra="forbid", frozen=True),
    __doc__="What is known of the ad. Everything may be left out; what the platform knows is filled in.",
    **{  # type: ignore[call-overload]
        feature.name: (Category if feature.kind == "category" else Number, None)
        for feature in AD_FEATURES
        if feature.name not in _OURS
    },
)


class Body(BaseModel):
    """Base of what is sent: strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(Body):
    """One ad on one day."""

    account_id: Name = Field(description="whose ad it is; the API key must be good for it")
    features: Features = Field(default_factory=Features)  # type: ignore[valid-type]
    ad_id: Name | None = Field(default=None, description="an ad that exists: its own past is looked at")
    about_day: date | None = Field(
        default=None, description="the day it is about; with ad_id, it is compared with what happens then"
    )
    request_id: Name | None = Field(
        default=None, description="unit of an experiment by request; by default each call is one"
    )
    daily_budget_usd: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="money a day, for the clicks to expect of it"
    )

    def values(self) -> dict[str, Any]:
        """The features that were named."""
        return dict(self.features.model_dump(exclude_none=True))  # type: ignore[attr-defined]


class One(Row):
    """One row for one model."""

    model: Name = Field(default="ctr", description="`ctr` for all accounts, `ctr_<account>` for one's own")


class Many(Body):
    """Several rows for one model."""

    model: Name = Field(default="ctr", description="`ctr` for all accounts, `ctr_<account>` for one's own")
    rows: list[Row] = Field(min_length=1)


class Prediction(BaseModel):
    """One answer."""

    id: UUID = Field(description="of the line in the log of predictions")
    ctr: float = Field(description="clicks per impression", examples=[0.0123])
    model: str
    version: int
    arm: str = Field(description="champion or challenger")
    experiment: int | None = Field(description="the experiment that decided the arm")
    source: str = Field(description="precomputed or computed")
    expected_clicks: float | None = Field(description="a day, of the budget")


class Predictions(BaseModel):
    """Answers in the order of the rows."""

    predictions: list[Prediction]


EXAMPLES: dict[str, Any] = {
    "a new ad": {
        "value": {
            "account_id": "act_1000700003",
            "features": {"hook_type": "curiosity_gap", "persona": "student", "format": "vertical_video"},
            "daily_budget_usd": 50,
        }
    },
    "an ad that runs": {
        "value": {"account_id": "act_1000700003", "ad_id": "120007000031", "about_day": "2026-04-05"}
    },
}
