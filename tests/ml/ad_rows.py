"""Small tables of ad performance with known truth, in the shape of `include.db.ads.read_performance`."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

HOOKS = {"curiosity_gap": 0.5, "question": 0.1, "negative_hook": -0.2, "urgency_scarcity": -0.6}
NICHES = {"fitness": 0.3, "saas": -0.4}


def ad_rows(
    *,
    seed: int = 1,
    ads: int = 120,
    days: int = 30,
    start: date = date(2026, 1, 1),
    accounts: int = 6,
    hook_shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25),
    spread: float = 0.15,
    base: float = -4.0,
) -> pd.DataFrame:
    """Ads with a hook and a niche that move the click rate, an own random effect, and Poisson-ish volume."""
    random = np.random.default_rng(seed)
    niches = list(NICHES)
    account_of_ad = random.integers(accounts, size=ads)
    hook = random.choice(list(HOOKS), size=ads, p=hook_shares)
    effect = random.normal(0, spread, size=ads)
    launch = random.integers(0, max(1, days // 2), size=ads)
    volume = random.lognormal(6.5, 0.8, size=ads)
    tables = []
    for day in range(days):
        live = np.flatnonzero(launch <= day)
        niche = np.array([niches[a % len(niches)] for a in account_of_ad[live]])
        logit = base + effect[live] + [HOOKS[h] for h in hook[live]] + np.array([NICHES[n] for n in niche])
        impressions = random.poisson(volume[live])
        tables.append(
            pd.DataFrame(
                {
                    "account_id": [f"act_{a:03d}" for a in account_of_ad[live]],
                    "niche": niche,
                    "campaign_id": [f"c_{a % 20}" for a in live],
                    "ad_id": [f"ad_{a:05d}" for a in live],
                    "creative_id": [f"cr_{a:05d}" for a in live],
                    "metric_date": start + timedelta(days=day),
                    "breakdown": "",
                    "impressions": impressions,
                    "clicks": random.binomial(impressions, 1 / (1 + np.exp(-logit))),
                    "spend": np.round(impressions * 0.01, 2),
                    "conversions": 0.0,
                    "hook_type": hook[live],
                    "persona": None,
                    "cta": np.array(["shop_now", "learn_more"])[live % 2],
                    "format": "video",
                    "visual_pattern": None,
                    "duration_s": 10.0 + live % 20,
                    "visual_tags": [["face", "text"][: a % 3] for a in live],
                    "launched_on": [start + timedelta(days=int(launch[a])) for a in live],
                    "frequency": 1.2,
                    "age": None,
                    "gender": None,
                    "interest": None,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def export_rows(*, seed: int = 1, ads: int = 600) -> pd.DataFrame:
    """A dateless export: one row per ad with age, gender and interest in three campaigns."""
    random = np.random.default_rng(seed)
    age = random.choice(["30-34", "35-39", "40-44", "45-49"], size=ads)
    gender = random.choice(["F", "M"], size=ads)
    logit = -5.0 + 0.3 * (gender == "F") + 0.2 * (age == "45-49")
    impressions = random.poisson(random.lognormal(8.5, 1.0, size=ads))
    return pd.DataFrame(
        {
            "account_id": "kag",
            "niche": None,
            "campaign_id": random.choice(["916", "936", "1178"], size=ads),
            "ad_id": [str(700_000 + a) for a in range(ads)],
            "creative_id": None,
            "metric_date": None,
            "breakdown": "",
            "impressions": impressions,
            "clicks": random.binomial(impressions, 1 / (1 + np.exp(-logit))),
            "spend": 1.0,
            "conversions": 0,
            "hook_type": None,
            "visual_tags": None,
            "launched_on": None,
            "frequency": None,
            "age": age,
            "gender": gender,
            "interest": random.integers(10, 40, size=ads),
        }
    )
