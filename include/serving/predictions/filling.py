"""What the models look at and callers need not know: the ad's creative, and what ad and account did before.

Training rows carry what the account and the ad did in the days before. A row without it would be another kind
of row than those the model learnt from. So the service fills it in, by the formulas of `ml.features`; what
the caller sends goes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine

from include.db import predictions
from include.db.mined import newest_mined
from include.db.pipeline import read_frames
from ml.features.ads import PSEUDO_CLICKS
from ml.features.lags import shrunk_rate
from ml.features.mined_definitions import BY_NAME
from ml.features.mined_inputs import PREFIX, STALE_DAYS
from ml.features.pipeline_columns import DAILY_FEATURES

# By name as training has them, whatever the machine's language.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OF_CREATIVE = (
    "hook_type",
    "persona",
    "cta",
    "format",
    "visual_pattern",
    "duration_s",
    "visual_tag_count",
)


@dataclass(frozen=True)
class KnownPast:
    """What is known of accounts and ads, as columns of the feature set.

    Attributes:
        accounts: account -> niche and account_ctr_lag28.
        ads: account and ad -> columns of its creative and of its own past.
        launched: account and ad -> the day it began.
        new_ad: what is known of an ad that nobody has seen yet.
        until: the last day that is known.
    """

    accounts: Mapping[str, Mapping[str, Any]]
    ads: Mapping[tuple[str, str], Mapping[str, Any]]
    launched: Mapping[tuple[str, str], date]
    until: date | None
    new_ad: Mapping[str, float | None] = field(default_factory=dict)

    def filled(
        self, row: Mapping[str, Any], account_id: str, ad_id: str | None, about_day: date | None
    ) -> dict[str, Any]:
        """`row` with what it lacks.

        An ad that is not known, or not named, is a new one: nothing shown yet, and its account's rate is what
        can be expected of it.
        """
        account = self.accounts.get(account_id, {})
        known: dict[str, Any] = {"account_id": account_id, **account}
        # What is known ends with a day, so a row without one is about the next.
        day = about_day or (self.until + timedelta(days=1) if self.until else None)
        past = self.ads.get((account_id, ad_id)) if ad_id else None
        if past is not None and ad_id:
            known |= past
            launched = self.launched.get((account_id, ad_id))
            if launched and day:
                known["ad_age_days"] = float(max((day - launched).days, 0))
        elif account:
            rate = account["account_ctr_lag28"]
            known |= self.new_ad
            known |= {"ad_ctr_lag28": rate, "ad_ctr_lag7": rate, "log_impressions_lag7": 0.0}
            known["ad_age_days"] = 0.0
        if day:
            known["weekday"] = _WEEKDAYS[day.weekday()]
        return {**known, **{name: value for name, value in row.items() if value is not None}}


NOTHING_KNOWN = KnownPast({}, {}, {}, None)


def read_past(engine: Engine, columns: Iterable[str] = ()) -> KnownPast:
    """The newest past there is.

    Args:
        columns: of the models that will be asked; of these, those with mined features, and those of what had
            come of an ad's deals, are filled in, too.
    """
    accounts, ads = predictions.account_pasts(engine), predictions.ad_pasts(engine)
    clicks = sum(each["clicks"] for each in accounts)
    shown = sum(each["impressions"] for each in accounts)
    if not shown:
        return NOTHING_KNOWN
    overall = (clicks + 0.5) / (shown + 1.0)
    of_account = {
        each["account_id"]: _rate(each["clicks"], each["impressions"], overall) for each in accounts
    }
    until = max((each["until"] for each in ads), default=None)
    mined = _mined(engine, columns, until) if until else {}
    deals, new_ad = _deals(engine, columns, [(each["account_id"], each["ad_id"]) for each in ads], until)
    pasts = {}
    for each in ads:
        prior = of_account.get(each["account_id"], overall)
        pasts[each["account_id"], each["ad_id"]] = {
            "ad_ctr_lag28": _rate(each["clicks28"], each["impressions28"], prior),
            "ad_ctr_lag7": _rate(each["clicks7"], each["impressions7"], prior),
            "log_impressions_lag7": float(np.log1p(each["impressions7"])),
            "frequency_lag1": each["frequency"],
            **{name: each[name] for name in _OF_CREATIVE},
            **mined.get((each["account_id"], each["ad_id"]), {}),
            **deals.get((each["account_id"], each["ad_id"]), {}),
        }
    return KnownPast(
        accounts={
            each["account_id"]: {
                **({"niche": each["niche"]} if each["niche"] else {}),
                "account_ctr_lag28": of_account[each["account_id"]],
            }
            for each in accounts
        },
        ads=pasts,
        launched={
            (each["account_id"], each["ad_id"]): each["launched_on"] for each in ads if each["launched_on"]
        },
        until=until,
        new_ad=new_ad,
    )


def _mined(
    engine: Engine, columns: Iterable[str], until: date
) -> dict[tuple[str, str], dict[str, float | None]]:
    """By account and ad, what a row of the day after `until` is told; see `ml.features.mined_inputs`."""
    by_lag: defaultdict[int, list[str]] = defaultdict(list)
    for column in sorted(set(columns)):
        name = column.removeprefix(PREFIX)
        if column.startswith(PREFIX) and name in BY_NAME:
            by_lag[BY_NAME[name].lag].append(name)
    found: defaultdict[tuple[str, str], dict[str, float | None]] = defaultdict(dict)
    for lag, names in by_lag.items():
        last = until + timedelta(days=1 - lag)
        for ad, told in newest_mined(engine, names, last - timedelta(days=STALE_DAYS), last).items():
            found[ad] |= {PREFIX + name: value for name, value in told.items()}
    return found


def _deals(
    engine: Engine, columns: Iterable[str], ads: list[tuple[str, str]], until: date | None
) -> tuple[dict[tuple[str, str], dict[str, float | None]], dict[str, float | None]]:
    """By account and ad, what had come of its deals by the end of `until`, and the same of an ad without any.

    See `ml.features.pipeline_daily`. Without such columns among `columns` the CRM is not read.
    """
    wanted = sorted(set(columns) & set(DAILY_FEATURES))
    if not wanted or until is None:
        return {}, {}
    import pandas as pd

    from ml.features.pipeline import prepare
    from ml.features.pipeline_daily import pipeline_daily

    frames = read_frames(engine)
    if frames.deals.empty:
        return {}, {}
    rows = pd.DataFrame([*ads, ("", "")], columns=["account_id", "ad_id"])
    told = pipeline_daily(prepare(frames), rows.assign(metric_date=until + timedelta(days=1)))[wanted]
    *of_ads, new_ad = (
        {name: None if np.isnan(value) else float(value) for name, value in zip(wanted, row, strict=True)}
        for row in told.to_numpy(float)
    )
    return dict(zip(ads, of_ads, strict=True)), new_ad


def _rate(clicks: float, impressions: float, prior: float) -> float:
    one = np.array([1.0])
    return float(shrunk_rate(one * clicks, one * impressions, one * prior, PSEUDO_CLICKS)[0])
