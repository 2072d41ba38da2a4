"""Ad-days with all their breakdown cells, made as columns by numpy, for whoever measures mining."""

from __future__ import annotations

import numpy as np
import polars as pl

from include.simulator.vocabulary import AGES, GENDERS
from ml.features.mined_cells import DEVICE, HOUR, PEOPLE, PLACEMENT

CELLS: dict[int, tuple[str, ...]] = {
    PLACEMENT: (
        "facebook,feed", "facebook,facebook_reels", "instagram,feed", "instagram,instagram_stories",
        "instagram,instagram_reels",
    ),
    PEOPLE: tuple(f"{age},{gender}" for age in AGES for gender in GENDERS),
    DEVICE: ("android_smartphone", "iphone", "desktop"),
    HOUR: tuple(f"{hour:02d}:00:00 - {hour:02d}:59:59" for hour in range(24)),
}  # fmt: skip
CELLS_PER_DAY = sum(map(len, CELLS.values()))
_NAMES = pl.Enum([cell for cells in CELLS.values() for cell in cells])
_FIRST_DAY = 20_000
_CLICK_RATE, _PURCHASE_RATE = 0.013, 0.05


def share_of_accounts(first: int, accounts: int, days: int, ads: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ad-days and cells of some accounts; the same account is the same whatever share it is in.

    Args:
        first, accounts: number of the first account, and how many.
        days, ads: of each account.
    """
    parts = [_account(number, days, ads) for number in range(first, first + accounts)]
    rows = days * ads
    cells = pl.concat(
        part.with_columns(row=pl.col("row") + place * rows) for place, (_, part) in enumerate(parts)
    )
    return pl.concat(part for part, _ in parts), cells


def _account(number: int, days: int, ads: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    random = np.random.default_rng([11, number])
    rows = days * ads
    shown = random.poisson(random.lognormal(7.5, 0.8, size=ads).repeat(days)) + 40
    clicked = random.binomial(shown, _CLICK_RATE)
    bought = random.binomial(clicked, _PURCHASE_RATE)
    plays = random.binomial(shown, 0.6)
    quarters = [plays]
    for stays in (0.55, 0.6, 0.7, 0.6):
        quarters.append(random.binomial(quarters[-1], stays))
    ad_days = pl.DataFrame(
        {
            "account_id": [f"act_{number:05d}"] * rows,
            "ad_id": np.repeat([f"ad_{number:05d}_{ad:03d}" for ad in range(ads)], days),
            "metric_date": np.tile(np.arange(days, dtype="int32") + _FIRST_DAY, ads),
            "impressions": shown.astype("float64"),
            "clicks": clicked.astype("float64"),
            "spend": np.round(shown * 0.009 * random.lognormal(0, 0.05, size=rows), 2),
            "reach": np.round(shown / 1.2),
            "frequency": 1.2 + random.random(rows) / 10,
            "unique_clicks": np.round(clicked * 0.93),
            "inline_link_clicks": np.round(clicked * 0.85),
            "purchases": bought.astype("float64"),
            "purchase_value": bought * 49.0,
            "purchases_7d_click": bought * 0.8,
            "purchases_1d_view": bought * 0.2,
            **dict(zip(("plays", "p25", "p50", "p75", "p100"), map(np.float64, quarters), strict=True)),
            "thruplay": quarters[1] * 0.6,
            "video_seconds": 4 + random.random(rows),
            "duration_s": np.repeat(random.integers(10, 40, size=ads), days).astype("float64"),
            "quality_ranking": random.choice(["ABOVE_AVERAGE", "AVERAGE", "UNKNOWN"], size=rows),
            "engagement_rate_ranking": random.choice(["AVERAGE", "BELOW_AVERAGE_35"], size=rows),
            "conversion_rate_ranking": random.choice(["AVERAGE", "BELOW_AVERAGE_10"], size=rows),
        }
    ).with_columns(pl.col("metric_date").cast(pl.Date))
    return ad_days, pl.concat(
        _cells(random, breakdown, names, shown, ad_days["spend"].to_numpy())
        for breakdown, names in CELLS.items()
    )


def _cells(
    random: np.random.Generator, breakdown: int, names: tuple[str, ...], shown: np.ndarray, spend: np.ndarray
) -> pl.DataFrame:
    share = random.dirichlet(np.full(len(names), 4.0))
    impressions = np.floor(shown[:, None] * share)
    clicks = random.binomial(impressions.astype("int64"), _CLICK_RATE)
    purchases = np.full(clicks.shape, np.nan)
    if breakdown != HOUR:
        purchases = random.binomial(clicks, _PURCHASE_RATE).astype("float64")
    rows = len(shown)
    return pl.DataFrame(
        {
            "row": np.arange(rows).repeat(len(names)),
            "breakdown": np.full(rows * len(names), breakdown),
            "cell": pl.Series(list(names), dtype=_NAMES).gather(np.tile(np.arange(len(names)), rows)),
            "impressions": impressions.ravel(),
            "clicks": clicks.ravel().astype("float64"),
            "spend": (spend[:, None] * share).ravel(),
            "purchases": pl.Series(purchases.ravel()).fill_nan(None),
        }
    )
