"""Who advertises and with what: accounts, campaigns, and ads with their creatives, launched week by week.

Each account draws from streams of its own, ads in the order of their launch, so neither more accounts nor
more days change the ones that are there. In the first week an account launches a quarter of its
`ads_per_account`; the rest follows in weekly cohorts at an even rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator import truth
from include.simulator.config import WorldConfig
from include.simulator.dna import describe
from include.simulator.draws import stream
from include.simulator.vocabulary import (
    ACCOUNT_WORDS,
    CAMPAIGNS,
    CTAS,
    FORMATS,
    HOOK_TYPES,
    NICHES,
    PERSONAS,
    VISUAL_PATTERNS,
)

Floats = npt.NDArray[np.float64]

LIFE_DAYS = (14, 49)
RELAUNCHED = 0.1
_UNIFORMS, _NORMALS = 12, 16


@dataclass(frozen=True)
class Catalogue:
    """What exists in a world, and the mixes that steer delivery.

    Attributes:
        accounts: account_id, name, niche, currency, daily_budget, cpm_factor.
        campaigns: account_id, campaign_id, name, status, daily_budget.
        creatives: account_id, creative_id, hook_type, hook_text, persona, cta, format, visual_pattern,
            visual_tags (list), duration_s, dna (dict).
        ads: one row per ad in the order of account and launch, with the attributes of its creative.
        placement_mix: expected share of each placement per ad, shape (ads, 5).
        age_mix: likewise of each age, shape (ads, 6).
        female_share: shape (ads,).
    """

    accounts: pd.DataFrame
    campaigns: pd.DataFrame
    creatives: pd.DataFrame
    ads: pd.DataFrame
    placement_mix: Floats
    age_mix: Floats
    female_share: Floats


def build_catalogue(config: WorldConfig) -> Catalogue:
    """Everything launched up to the last day of `config`."""
    accounts = _accounts(config)
    ads, normals = _ads(config, accounts)
    launched = ads["launched_on"].to_numpy() <= np.datetime64(config.until)
    ads, normals = ads[launched].reset_index(drop=True), normals[launched]
    placements = ads["format"].map(truth.FORMAT_PLACEMENTS).to_list()
    ages = ads["persona"].map(truth.PERSONA_AGES).to_list()
    return Catalogue(
        accounts=accounts,
        campaigns=_campaigns(config, accounts),
        creatives=_creatives(ads),
        ads=ads,
        placement_mix=_shares(np.log(np.array(placements)) + 0.3 * normals[:, 3:8]),
        age_mix=_shares(np.log(np.array(ages)) + 0.25 * normals[:, 8:14]),
        female_share=np.asarray(1.0 / (1.0 + np.exp(-0.5 * normals[:, 14]))),
    )


def _accounts(config: WorldConfig) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number in range(config.account_count):
        draw = stream(config.seed, "account", number).standard_normal(2)
        niche = NICHES[number % len(NICHES)]
        word = ACCOUNT_WORDS[(number // len(NICHES) + number) % len(ACCOUNT_WORDS)]
        rows.append(
            {
                "account_id": f"act_{10_000 + config.seed % 90_000}{number:05d}",
                "name": f"{word} {niche.replace('_', ' ').title()} {number + 1}",
                "niche": niche,
                "currency": "USD",
                "daily_budget": round(float(120 * np.exp(0.5 * draw[0])), 2),
                "cpm_factor": float(np.exp(0.1 * draw[1])),
            }
        )
    return pd.DataFrame(rows)


def _campaigns(config: WorldConfig, accounts: pd.DataFrame) -> pd.DataFrame:
    count = len(CAMPAIGNS)
    campaigns = accounts.loc[accounts.index.repeat(count), ["account_id", "niche", "daily_budget"]]
    campaigns = campaigns.reset_index(drop=True)
    number = np.tile(np.arange(count), len(accounts))
    campaigns["campaign_id"] = [
        _campaign_id(account, n) for account, n in zip(campaigns["account_id"], number, strict=True)
    ]
    label = campaigns["niche"].str.replace("_", " ").str.capitalize()
    campaigns["name"] = label + " | " + np.array(CAMPAIGNS)[number]
    campaigns["status"] = "active"
    campaigns["daily_budget"] = (campaigns["daily_budget"] / count).round(2)
    return campaigns[["account_id", "campaign_id", "name", "status", "daily_budget"]]


def _ads(config: WorldConfig, accounts: pd.DataFrame) -> tuple[pd.DataFrame, Floats]:
    weeks = (config.days + 6) // 7
    first = max(1, round(config.ads_per_account / 4))
    per_week = max(0.0, config.ads_per_account - first) / 12
    account_of, week_of, number_of, uniforms, normals = [], [], [], [], []
    for number in range(config.account_count):
        phase = stream(config.seed, "phase", number).random()
        due = np.floor(phase + per_week * np.arange(weeks)).astype(int)
        week = np.concatenate([np.zeros(first, int), np.repeat(np.arange(1, weeks), np.diff(due))])
        uniforms.append(stream(config.seed, "ads", number).random((len(week), _UNIFORMS)))
        normals.append(stream(config.seed, "ad_spread", number).standard_normal((len(week), _NORMALS)))
        account_of.append(np.full(len(week), number))
        week_of.append(week)
        number_of.append(np.arange(len(week)))
    u, z = np.vstack(uniforms), np.vstack(normals)
    account, week, nth = np.concatenate(account_of), np.concatenate(week_of), np.concatenate(number_of)

    offset = np.where(week == 0, 0, np.floor(u[:, 0] * 7).astype(int))
    ads = accounts.iloc[account].reset_index(drop=True)[["account_id", "niche", "cpm_factor", "daily_budget"]]
    ads["account_number"] = account
    ads["ad_id"] = [_ad_id(config, a, n) for a, n in zip(account, nth, strict=True)]
    ads["launched_on"] = np.datetime64(config.start) + (7 * week + offset).astype("timedelta64[D]")
    low, high = LIFE_DAYS
    ads["life_days"] = low + np.floor(u[:, 1] * (high - low + 1)).astype(int)
    ads["hook_type"] = _choose_hooks(config, ads, u[:, 2])
    for column, words, draw in (
        ("persona", PERSONAS, 3), ("cta", CTAS, 4), ("format", FORMATS, 5),
        ("visual_pattern", VISUAL_PATTERNS, 6),
    ):  # fmt: skip
        ads[column] = np.array(words)[np.floor(u[:, draw] * len(words)).astype(int)]
    still = ads["format"].isin(["image", "carousel"])
    ads["duration_s"] = np.where(still, np.nan, np.round(22 * np.exp(0.5 * z[:, 0]), 1).clip(5, 90))
    campaign = np.floor(u[:, 7] * len(CAMPAIGNS)).astype(int)
    ads["campaign_id"] = [_campaign_id(a, n) for a, n in zip(ads["account_id"], campaign, strict=True)]
    ads["creative_id"] = "9" + ads["ad_id"]
    ads["wording"] = u[:, 8]
    ads["look"] = u[:, 9]
    _relaunch(ads, u[:, 10])

    ads["name"] = (
        ads["hook_type"].str.replace("_", " ") + " | " + ads["visual_pattern"].str.replace("_", " ")
        + " | " + pd.Series(nth + 1).map("{:03d}".format)
    )  # fmt: skip
    ads["ad_effect"] = truth.AD_SPREAD * z[:, 1]
    ads["ad_budget"] = ads["daily_budget"] / 3.2 * np.exp(0.4 * z[:, 2])
    # Who spends more also aims wider, or everyone would have seen the ad twenty times.
    ads["audience"] = np.round(900 * ads["ad_budget"] * np.exp(0.4 * z[:, 15]))
    return ads, z


def _choose_hooks(config: WorldConfig, ads: pd.DataFrame, draw: Floats) -> npt.NDArray[np.str_]:
    """Advertisers prefer the hooks that work on the day of the launch."""

    def chosen(strength: float) -> npt.NDArray[np.int64]:
        shares = _shares(truth.HOOK_CHASING * truth.hook_effects(strength)[None, :])[0]
        return np.searchsorted(np.cumsum(shares)[:-1], draw, side="right")

    hooks = chosen(0.0)
    if config.drift:
        after = ads["launched_on"].to_numpy() >= np.datetime64(config.drift.start)
        hooks = np.where(after, chosen(config.drift.strength), hooks)
    return np.array(HOOK_TYPES)[hooks]


def _relaunch(ads: pd.DataFrame, draw: Floats) -> None:
    """One ad in ten runs the creative of the account's ad before it."""
    again = (draw < RELAUNCHED) & ads["account_number"].duplicated().to_numpy()
    of_creative = [
        "creative_id", "hook_type", "persona", "cta", "format", "visual_pattern",
        "duration_s", "wording", "look",
    ]  # fmt: skip
    source = pd.Series(np.where(again, np.nan, np.arange(len(ads)))).ffill().astype(int)
    ads[of_creative] = ads[of_creative].iloc[source].to_numpy()
    ads[["duration_s", "wording", "look"]] = ads[["duration_s", "wording", "look"]].astype(float)


def _creatives(ads: pd.DataFrame) -> pd.DataFrame:
    """One row per creative, made from the first ad that ran it."""
    first = ads.drop_duplicates("creative_id")
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in first.to_dict("records")]
    described = [describe(row) for row in rows]
    creatives = first[
        ["account_id", "creative_id", "hook_type", "persona", "cta", "format", "visual_pattern", "duration_s"]
    ].reset_index(drop=True)
    creatives["hook_text"] = [d.hook_text for d in described]
    creatives["visual_tags"] = pd.Series([list(d.visual_tags) for d in described], dtype=object)
    creatives["dna"] = pd.Series([d.dna for d in described], dtype=object)
    return creatives


def _shares(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _campaign_id(account_id: str, number: int) -> str:
    return f"2{account_id.removeprefix('act_')}{number:03d}"


def _ad_id(config: WorldConfig, account: int, number: int) -> str:
    return f"1{10_000 + config.seed % 90_000}{account:05d}{number:05d}"
