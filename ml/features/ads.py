"""The ads feature set: one row per ad and day (or per ad, where an export has no dates).

What is known before the day begins goes in: the creative's DNA, the weekday, the ad's age, and how the ad and
its account did on *earlier* days. Nothing of the day itself does. The campaign is no feature: tomorrow's
campaigns are new, and exports are compared campaign against campaign. Nor is its budget, of which only
today's value is known: beside a past day it would tell what happened since. Rows that hold features mined
from Meta's raw data (`mined_...`, of their own day) get those of an earlier day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from ml.errors import PermanentModelError
from ml.features.frame import FeatureFrame
from ml.features.lags import lagged_sums, shrunk_rate
from ml.features.mined_definitions import RECIPE
from ml.features.mined_inputs import PREFIX, lagged_mined
from ml.features.pipeline_columns import DAILY_FEATURES
from ml.features.pipeline_columns import PREFIX as DEALS_PREFIX
from ml.features.pipeline_columns import RECIPE as DEALS_RECIPE

FEATURE_SET = "ads-1"

# Rates of earlier days are pulled towards the level above (ad -> account -> everyone) as if this many
# clicks had been seen at that level's rate.
PSEUDO_CLICKS = 5.0

# How far lags look back. Rows this many days before the first wanted day make its lags complete.
LAG_DAYS = 28

_COUNTS = ("impressions", "clicks")
_KEYS = ("account_id", "ad_id")


class FeatureInputInvalid(PermanentModelError, ValueError):
    """The rows cannot be made into features; the message names the column and what is wrong with it."""


@dataclass(frozen=True)
class Feature:
    """One column of the feature set.

    Attributes:
        name: its column in `X`.
        kind: `category` (text levels) or `number`.
        watched: whether its drift means something. An ad's age rises by itself and weekdays come round; the
            account says who advertises, not how.
    """

    name: str
    kind: Literal["category", "number"]
    watched: bool = True


AD_FEATURES: tuple[Feature, ...] = (
    Feature("account_id", "category", watched=False),
    Feature("niche", "category"),
    Feature("hook_type", "category"),
    Feature("persona", "category"),
    Feature("cta", "category"),
    Feature("format", "category"),
    Feature("visual_pattern", "category"),
    Feature("age", "category"),
    Feature("gender", "category"),
    Feature("interest", "category"),
    Feature("weekday", "category", watched=False),
    Feature("duration_s", "number"),
    Feature("visual_tag_count", "number"),
    Feature("ad_age_days", "number", watched=False),
    Feature("log_impressions_lag7", "number", watched=False),
    Feature("frequency_lag1", "number", watched=False),
    Feature("ad_ctr_lag7", "number", watched=False),
    Feature("ad_ctr_lag28", "number", watched=False),
    Feature("account_ctr_lag28", "number", watched=False),
)


def build_ad_features(
    rows: pd.DataFrame, since: date | None = None, *, constant_too: bool = False
) -> FeatureFrame:
    """Features and outcomes from performance rows.

    Args:
        rows: one row per ad, day and breakdown cell with at least account_id, ad_id, impressions and clicks.
            Where an ad has a total (breakdown '') its cells are left out, so that nothing counts twice.
            Rows without a single impression teach nothing and are dropped.
        since: rows before this day only feed the lags of later ones. None keeps all.
        constant_too: keep the features that are the same throughout, for a model that learnt from others.

    Returns:
        A frame with the features of `AD_FEATURES` that carry information in these rows: unless wanted, a
        column that is missing throughout, or the same throughout, is left out.

    Raises:
        FeatureInputInvalid: a needed column is absent, a count is no number, or only some rows have dates.
    """
    rows = _totals(_checked(rows))
    dates = _dates(rows)
    order = rows.assign(_day=0 if dates is None else dates.astype("int64")).sort_values(
        ["account_id", "ad_id", "_day"], kind="stable"
    )
    rows = order.drop(columns="_day").reset_index(drop=True)
    dates = _dates(rows)
    known = {**_of_the_ad(rows), **({} if dates is None else _of_the_past(rows, dates))}
    X = pd.DataFrame(
        {
            **{f.name: _FORM[f.kind](known[f.name]) for f in AD_FEATURES if f.name in known},
            **{name: values for name, values in known.items() if name.startswith((PREFIX, DEALS_PREFIX))},
        },
        index=rows.index,
    )
    wanted = (rows["impressions"] > 0).to_numpy()
    if dates is not None and since is not None:
        wanted = wanted & (dates >= np.datetime64(since, "D"))
    X = X.loc[wanted].reset_index(drop=True)
    if not constant_too:
        X = X[[name for name in X.columns if X[name].nunique() > 1]]
    rows = rows.loc[wanted]
    recipes = [
        recipe
        for prefix, recipe in ((PREFIX, RECIPE), (DEALS_PREFIX, DEALS_RECIPE))
        if any(name.startswith(prefix) for name in X.columns)
    ]
    impressions = rows["impressions"].to_numpy("int64")
    account = rows["account_id"].to_numpy(dtype=object)
    return FeatureFrame(
        X=X,
        # Meta's "clicks (all)" can exceed impressions on tiny rows; a rate above 1 means nothing.
        clicks=np.minimum(rows["clicks"].to_numpy("int64"), impressions),
        impressions=impressions,
        groups=np.array([f"{a}/{b}" for a, b in zip(account, rows["ad_id"], strict=True)], dtype=object),
        accounts=account,
        campaigns=_text(rows, "campaign_id"),
        spend=_number(rows["spend"]).to_numpy() if "spend" in rows else np.full(len(rows), np.nan),
        dates=None if dates is None else dates[wanted],
        feature_set="+".join([FEATURE_SET, *recipes]),
    )


def watched_columns(X: pd.DataFrame) -> tuple[str, ...]:
    """The columns of `X` whose drift means something."""
    return tuple(feature.name for feature in AD_FEATURES if feature.watched and feature.name in X)


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    for name in (*_KEYS, *_COUNTS):
        if name not in rows:
            raise FeatureInputInvalid(
                f"performance rows have no column '{name}': they need {', '.join((*_KEYS, *_COUNTS))}"
            )
    counts = {name: pd.to_numeric(rows[name], errors="coerce") for name in _COUNTS}
    for name, values in counts.items():
        numbers = values.to_numpy("float64", na_value=np.nan)
        wrong = ~np.isfinite(numbers) | (numbers < 0)
        if wrong.any():
            where = rows.iloc[int(wrong.argmax())]
            raise FeatureInputInvalid(
                f"{name} of ad {where['ad_id']} is '{where[name]}': it must be a count of 0 or more"
            )
    return rows.assign(
        **{name: values.astype("int64") for name, values in counts.items()},
        **{name: rows[name].astype("object").map(str) for name in _KEYS},
    ).reset_index(drop=True)


def _totals(rows: pd.DataFrame) -> pd.DataFrame:
    if "breakdown" not in rows:
        return rows
    is_total = rows["breakdown"].fillna("") == ""
    with_total = set(zip(rows.loc[is_total, "account_id"], rows.loc[is_total, "ad_id"], strict=True))
    has_total = np.array(
        [pair in with_total for pair in zip(rows["account_id"], rows["ad_id"], strict=True)], dtype=bool
    )
    return rows.loc[is_total | ~has_total]


def _dates(rows: pd.DataFrame) -> np.ndarray | None:
    if "metric_date" not in rows:
        return None
    days = pd.to_datetime(rows["metric_date"])
    if days.isna().all():
        return None
    if days.isna().any():
        raise FeatureInputInvalid(
            f"{int(days.isna().sum())} of {len(days)} performance rows have no date: read dated accounts and "
            "dateless exports apart (one scope each)"
        )
    return np.asarray(days.to_numpy().astype("datetime64[D]"))


def _of_the_ad(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """What is known of the ad whatever the day."""
    names = [f.name for f in AD_FEATURES if f.kind == "category" and f.name in rows]
    known = {name: rows[name] for name in names}
    if "duration_s" in rows:
        known["duration_s"] = rows["duration_s"]
    if "visual_tags" in rows:
        known["visual_tag_count"] = rows["visual_tags"].map(_count_of_tags)
    return known


def _of_the_past(rows: pd.DataFrame, dates: np.ndarray) -> dict[str, pd.Series]:
    """What is known once there is a day: its weekday, the ad's age, and earlier days' outcomes."""
    days = dates.astype("int64")
    index = rows.index
    everyone = np.zeros(len(rows), dtype="int64")
    account = pd.factorize(rows["account_id"])[0]
    ad = pd.factorize(pd.MultiIndex.from_frame(rows[list(_KEYS)]))[0]
    clicks, impressions = rows["clicks"].to_numpy(), rows["impressions"].to_numpy()

    def earlier(keys: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
        return lagged_sums(keys, days, clicks, window), lagged_sums(keys, days, impressions, window)

    all_clicks, all_impressions = earlier(everyone, LAG_DAYS)
    # Half a click and one impression keep the rate of a first clickless day above zero.
    overall = np.where(all_impressions > 0, (all_clicks + 0.5) / (all_impressions + 1.0), np.nan)
    of_account = shrunk_rate(*earlier(account, LAG_DAYS), overall, PSEUDO_CLICKS)
    week_clicks, week_impressions = earlier(ad, 7)
    known = {
        "weekday": pd.Series(pd.to_datetime(dates).day_name(), index=index),
        "account_ctr_lag28": of_account,
        "ad_ctr_lag28": shrunk_rate(*earlier(ad, LAG_DAYS), of_account, PSEUDO_CLICKS),
        "ad_ctr_lag7": shrunk_rate(week_clicks, week_impressions, of_account, PSEUDO_CLICKS),
        "log_impressions_lag7": np.log1p(week_impressions),
    }
    if "launched_on" in rows:
        launched = pd.to_datetime(rows["launched_on"]).to_numpy().astype("datetime64[D]")
        age = (dates - launched).astype("timedelta64[D]").astype("float64")
        known["ad_age_days"] = np.where(np.isnat(launched), np.nan, age)
    if "frequency" in rows:
        seen = _number(rows["frequency"]).fillna(0.0).to_numpy()
        yesterday = lagged_sums(ad, days, seen, 1)
        known["frequency_lag1"] = np.where(yesterday > 0, yesterday, np.nan)
    told = {name: pd.Series(values, index=index) for name, values in known.items()}
    # Of deals, rows hold what had come of them before the day; see `ml.features.pipeline_daily`.
    of_deals = {name: _number(rows[name]) for name in DAILY_FEATURES if name in rows}
    return told | lagged_mined(rows, ad, days) | of_deals


def _number(values: pd.Series) -> pd.Series:
    """Floats, whatever the database driver gave (Decimal, None, text); infinities count as missing."""
    return pd.to_numeric(values, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)


def _category(values: pd.Series) -> pd.Series:
    """Text levels; blanks count as missing."""
    text = values.astype("object").map(lambda value: str(value).strip() if pd.notna(value) else None)
    return text.where(text.map(bool), None).astype("object")


def _text(rows: pd.DataFrame, name: str) -> np.ndarray:
    values = rows[name].astype("object") if name in rows else pd.Series("", index=rows.index, dtype="object")
    return np.asarray(values.map(lambda value: str(value) if pd.notna(value) else ""), dtype=object)


def _count_of_tags(tags: object) -> float:
    return float(len(tags)) if isinstance(tags, list | tuple | np.ndarray) else np.nan


_FORM: dict[str, Callable[[pd.Series], pd.Series]] = {"category": _category, "number": _number}
