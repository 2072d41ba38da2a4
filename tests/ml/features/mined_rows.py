"""Small ad-days and cells to mine, as `ml.features.mined.mine` takes them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.features.mined_cells import DEVICE, HOUR, PEOPLE, PLACEMENT

START = date(2026, 1, 1)
CELLS = {
    PLACEMENT: (
        "facebook,feed",
        "instagram,instagram_reels",
        "instagram,instagram_stories",
        "messenger,inbox",
    ),
    PEOPLE: ("18-24,female", "25-34,male", "55-64,unknown"),
    DEVICE: ("iphone", "android_smartphone", "desktop"),
    HOUR: ("03:00:00 - 03:59:59", "12:00:00 - 12:59:59", "20:00:00 - 20:59:59"),
}


def ad_days(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with the figures that are named; the others have usual ones. `day` counts from `START`."""
    usual = {"account_id": "act_1", "ad_id": "ad_1", "impressions": 1000.0, "clicks": 10.0, "spend": 10.0}
    told = [
        {**usual, **{name: value for name, value in row.items() if name != "day"}, "metric_date": _day(row)}
        for row in rows
    ]
    return pl.DataFrame(told, infer_schema_length=None)


def cells(rows: list[tuple[int, int, str, float, float, float, float | None]]) -> pl.DataFrame:
    """Cells of row, breakdown, name, impressions, clicks, spend, purchases."""
    return pl.DataFrame(
        rows,
        schema={
            "row": pl.Int64, "breakdown": pl.Int64, "cell": pl.String, "impressions": pl.Float64,
            "clicks": pl.Float64, "spend": pl.Float64, "purchases": pl.Float64,
        },
        orient="row",
    )  # fmt: skip


def world(
    *, seed: int = 1, accounts: int = 3, ads: int = 4, days: int = 40, skipped: float = 0.1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Random ad-days with all breakdowns, video and rankings; some days are missing."""
    random = np.random.default_rng(seed)
    told, of_cells = [], []
    for account in range(accounts):
        for ad in range(ads):
            for day in range(days):
                if random.random() < skipped:
                    continue
                shown = int(random.poisson(2000)) + 1
                clicked = int(random.binomial(shown, 0.02))
                told.append(
                    {
                        "account_id": f"act_{account}", "ad_id": f"ad_{ad}", "day": day,
                        "impressions": float(shown), "clicks": float(clicked), "spend": shown / 100,
                        "frequency": 1 + random.random(), "reach": shown / 1.5,
                        "unique_clicks": clicked * 0.9, "inline_link_clicks": clicked * 0.8,
                        "purchases": float(random.binomial(clicked, 0.1)),
                        "purchase_value": 50.0, "purchases_7d_click": 1.0, "purchases_1d_view": 1.0,
                        "plays": shown * 0.6, "p25": shown * 0.4, "p50": shown * 0.3, "p75": shown * 0.2,
                        "p100": shown * 0.1, "thruplay": shown * 0.15, "video_seconds": 6.0,
                        "duration_s": 20.0,
                        "quality_ranking": str(random.choice(["AVERAGE", "UNKNOWN", "BELOW_AVERAGE_10"])),
                        "engagement_rate_ranking": "ABOVE_AVERAGE", "conversion_rate_ranking": "AVERAGE",
                    }
                )  # fmt: skip
                for breakdown, names in CELLS.items():
                    split = random.multinomial(shown, np.full(len(names), 1 / len(names)))
                    hits = random.multinomial(clicked, np.full(len(names), 1 / len(names)))
                    for name, part, hit in zip(names, split, hits, strict=True):
                        bought = None if breakdown == HOUR else float(random.binomial(hit, 0.1))
                        row = (len(told) - 1, breakdown, name, float(part), float(hit), part / 100, bought)
                        of_cells.append(row)
    return ad_days(told), cells(of_cells)


def _day(row: dict[str, Any]) -> date:
    return START + timedelta(days=row.get("day", 0))
