"""What the pipeline's features and models are made from: a CRM's histories, the ads, and what they cost.

A deal is known by its events. Its stage, amount and owner at a moment, whether it is closed, and when it
closed follow from the events up to then; the columns a CRM shows today are not looked at, because they tell
what happened since. `CrmFrames.known` is the one way to the past.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ml.errors import PermanentModelError

DAY = np.timedelta64(1, "D")

_COLUMNS = {
    "deals": ("deal_id", "contact_id", "pipeline_id", "deal_type", "created_at", "lost_reason", "won_reason"),
    "stages": ("pipeline_id", "stage_id", "label", "display_order", "probability", "is_closed", "is_won"),
    "stage_events": ("deal_id", "stage_id", "entered_at"),
    "amount_events": ("deal_id", "changed_at", "amount"),
    "owner_events": ("deal_id", "changed_at", "owner_id"),
    "owners": ("owner_id", "team"),
    "contacts": ("contact_id", "click_id", "utm_campaign", "utm_content", "first_source", "first_detail"),
    "conversions": ("account_id", "ad_id", "click_id"),
    "ads": (
        "account_id",
        "campaign_id",
        "campaign_name",
        "ad_id",
        "creative_id",
        "niche",
        "hook_type",
        "format",
        "visual_pattern",
        "persona",
    ),
    "spend": ("account_id", "ad_id", "day", "spend"),
}
_TIMES = {
    "deals": "created_at",
    "stage_events": "entered_at",
    "amount_events": "changed_at",
    "owner_events": "changed_at",
}
_IDS = (
    "deal_id", "contact_id", "pipeline_id", "stage_id", "owner_id", "account_id", "campaign_id", "ad_id",
    "creative_id", "click_id", "utm_campaign", "utm_content", "first_source", "first_detail", "deal_type",
    "lost_reason", "won_reason", "team", "campaign_name", "label", "niche", "hook_type", "format",
    "visual_pattern", "persona",
)  # fmt: skip


class CrmInputInvalid(PermanentModelError, ValueError):
    """The CRM's rows cannot be learnt from; the message names the table, the column and what is wrong."""


@dataclass(frozen=True)
class CrmFrames:
    """A CRM's facts beside those of the ads. Times are naive UTC, amounts and spend dollars, ids text.

    Attributes:
        deals: deal_id, contact_id, pipeline_id, deal_type, created_at, lost_reason, won_reason. The two
            reasons are what the CRM says today; they count only for deals that are closed.
        stages: pipeline_id, stage_id, label, display_order, probability (the CRM's table), is_closed,
            is_won.
        stage_events: deal_id, stage_id, entered_at.
        amount_events: deal_id, changed_at, amount.
        owner_events: deal_id, changed_at, owner_id.
        owners: owner_id, team.
        contacts: contact_id, click_id, utm_campaign, utm_content, first_source, first_detail.
        conversions: account_id, ad_id, click_id.
        ads: account_id, campaign_id, campaign_name, ad_id, creative_id, niche, hook_type, format,
            visual_pattern, persona.
        spend: account_id, ad_id, day, spend.
    """

    deals: pd.DataFrame
    stages: pd.DataFrame
    stage_events: pd.DataFrame
    amount_events: pd.DataFrame
    owner_events: pd.DataFrame
    owners: pd.DataFrame
    contacts: pd.DataFrame
    conversions: pd.DataFrame
    ads: pd.DataFrame
    spend: pd.DataFrame

    @classmethod
    def checked(cls, **frames: pd.DataFrame) -> CrmFrames:
        """Frames with the columns named above, in one form whatever the source gave.

        Raises:
            CrmInputInvalid: a column is missing, a time is none, an amount is negative, or a deal has no
                pipeline or no event.
        """
        made = {name: _in_form(name, frames[name], columns) for name, columns in _COLUMNS.items()}
        return _consistent(cls(**made))

    def known(self, at: datetime | pd.Timestamp | np.datetime64) -> CrmFrames:
        """What was known at a moment: deals created and events that happened by then, money spent before
        its day."""
        moment = naive(at)
        cut = {name: _up_to(getattr(self, name), time, moment) for name, time in _TIMES.items()}
        day = moment.astype("datetime64[D]")
        return replace(self, **cut, spend=self.spend[self.spend["day"].to_numpy() < day])

    def state(self) -> pd.DataFrame:
        """Every deal as its events leave it.

        Returns:
            One row a deal, in the order of `deals`: its columns and stage_id, entered_at (of that stage),
            amount, first_amount, owner_id, team, is_closed, is_won, closed_at (NaT while open), label,
            display_order and probability of the stage. Reasons of open deals are missing.
        """
        deals = self.deals
        stage = _last(self.stage_events, "entered_at")
        amount = _last(self.amount_events, "changed_at")[["deal_id", "amount"]]
        first = _first_amounts(self.amount_events)
        owner = _last(self.owner_events, "changed_at")[["deal_id", "owner_id"]]
        table = deals.merge(stage, on="deal_id", how="left").merge(amount, on="deal_id", how="left")
        table = table.merge(first, on="deal_id", how="left").merge(owner, on="deal_id", how="left")
        table = table.merge(self.owners[["owner_id", "team"]], on="owner_id", how="left")
        table = table.merge(self.stages, on=["pipeline_id", "stage_id"], how="left")
        for flag in ("is_closed", "is_won"):
            table[flag] = table[flag].eq(True)
        table["closed_at"] = table["entered_at"].where(table["is_closed"])
        table["lost_reason"] = table["lost_reason"].where(table["is_closed"] & ~table["is_won"])
        table["won_reason"] = table["won_reason"].where(table["is_won"])
        return table


def naive(at: Any) -> np.datetime64:
    """A moment in the form of the frames: UTC without saying so, in microseconds."""
    moment = pd.Timestamp(at)
    if moment.tzinfo is not None:
        moment = moment.tz_convert("UTC").tz_localize(None)
    return moment.as_unit("us").to_datetime64()


def _in_form(table: str, frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise CrmInputInvalid(f"{table} has no column {', '.join(missing)}: it needs {', '.join(columns)}")
    made: dict[str, Any] = {}
    for column in columns:
        values = frame[column]
        if column in _IDS:
            made[column] = (
                values.astype("object").where(values.notna(), None).map(_as_text, na_action="ignore")
            )
        elif column in ("created_at", "entered_at", "changed_at", "day"):
            made[column] = _times(table, column, values)
        elif column in ("is_closed", "is_won"):
            made[column] = values.astype(bool)
        else:
            made[column] = pd.to_numeric(values, errors="coerce").astype("float64")
    return pd.DataFrame(made).reset_index(drop=True)


def _as_text(value: object) -> str | None:
    return str(value).strip() or None


def _times(table: str, column: str, values: pd.Series) -> pd.Series:
    times = pd.to_datetime(values, utc=True, errors="coerce").dt.tz_localize(None).astype("datetime64[us]")
    if times.isna().any():
        where = int(times.isna().to_numpy().argmax())
        raise CrmInputInvalid(
            f"{table}: row {where} has no time in {column} (it says {values.iloc[where]!r}): correct it at "
            "the source and load it again"
        )
    return times


def _consistent(frames: CrmFrames) -> CrmFrames:
    """Without what cannot be used, where that is harmless; an error where it is not."""
    deals = frames.deals
    if deals["deal_id"].duplicated().any():
        twice = deals.loc[deals["deal_id"].duplicated(), "deal_id"].iloc[0]
        raise CrmInputInvalid(f"deals: deal {twice} is there twice: load each deal once")
    amounts = frames.amount_events
    negative = amounts["amount"] < 0
    if negative.any():
        which = amounts.loc[negative, "deal_id"].iloc[0]
        raise CrmInputInvalid(f"amount_events: deal {which} has a negative amount: correct it in the CRM")
    begun = frames.stage_events.groupby("deal_id")["entered_at"].min()
    without = deals["pipeline_id"].isna() | ~deals["deal_id"].isin(begun.index)
    if without.any():
        which = deals.loc[without, "deal_id"].iloc[0]
        raise CrmInputInvalid(
            f"deals: deal {which} (and {int(without.sum()) - 1} more) has no pipeline or no "
            "stage event: load "
            "the histories with hubspot_etl first"
        )
    # A deal begins with its history: nothing is known of it before, though the CRM lets people date its
    # creation back, and imported histories begin before it.
    first = pd.Series(begun.reindex(deals["deal_id"]).to_numpy(), index=deals.index)
    deals = deals.assign(created_at=first)
    return replace(
        frames,
        deals=deals.sort_values(["created_at", "deal_id"], kind="stable").reset_index(drop=True),
        stage_events=frames.stage_events.sort_values(["deal_id", "entered_at"], kind="stable"),
        amount_events=amounts.dropna(subset=["amount"]).sort_values(["deal_id", "changed_at"], kind="stable"),
        owner_events=frames.owner_events.sort_values(["deal_id", "changed_at"], kind="stable"),
    )


def _up_to(frame: pd.DataFrame, column: str, moment: np.datetime64) -> pd.DataFrame:
    return frame[frame[column].to_numpy() <= moment]


def _last(events: pd.DataFrame, time: str) -> pd.DataFrame:
    """The newest event of each deal; events are sorted by deal and time."""
    return events.drop_duplicates("deal_id", keep="last")


def _first_amounts(events: pd.DataFrame) -> pd.DataFrame:
    first = events.drop_duplicates("deal_id", keep="first")[["deal_id", "amount"]]
    return first.rename(columns={"amount": "first_amount"})
