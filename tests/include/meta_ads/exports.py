"""Small exports for the tests of the importer, and what they leave in the database."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text

HEADER = (
    "Reporting starts,Reporting ends,Campaign name,Ad name,Ad ID,"
    "Impressions,Clicks (all),Amount spent (USD),Purchases"
)
ROW = '2026-05-04,2026-05-04,Spring,Ad one,120210000000000001,"1,234",12,"1,034.56",2'
OTHER = "2026-05-04,2026-05-04,Spring,Ad two,120210000000000002,800,9,20.10,"

KAG = (
    "ad_id,xyz_campaign_id,fb_campaign_id,age,gender,interest,"
    "Impressions,Clicks,Spent,Total_Conversion,Approved_Conversion"
)


def write(folder: Path, *lines: str, encoding: str = "utf-8", name: str = "export.csv") -> Path:
    path = folder / name
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def stored(db: Engine) -> list[tuple]:
    with db.connect() as connection:
        columns = (
            "ad_id, metric_date, breakdown, impressions, clicks, spend, conversions, raw_data, fetched_at"
        )
        rows = connection.execute(text(f"SELECT {columns} FROM ads.performance_metric ORDER BY 1, 2, 3"))
        return [tuple(row) for row in rows]
