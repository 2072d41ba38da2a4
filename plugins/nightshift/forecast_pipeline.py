"""What the DAG `forecast_pipeline` does: have the champion tell what open deals will bring, and keep it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from nightshift.pipeline_source import FAMILY, SCOPE, beginning_of, pipeline_settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sqlalchemy import Engine

    from include.config.pipeline_value import PipelineValueThresholds
    from ml.features.pipeline_frames import CrmFrames
    from ml.pipeline_value.forecast import DealOutlook
    from ml.registry import RegisteredVersion


def forecast_and_keep(*, day: date, engine: Engine, tracking_uri: str) -> dict[str, Any]:
    """Forecast with the champion, and keep a row a campaign and ad. The same day again replaces its
    rows.

    Returns:
        forecast (whether one was made), day, model_version, campaigns, ads, deals, open_deals,
        won_value, expected_value, attributed_share, spend and outcome (a sentence where nothing was
        made).

    Raises:
        CrmInputInvalid: the rows cannot be read as deals.
        PipelineModelInvalid: the champion was written by other code; train anew.
        RegistryUnavailable, RegistryRefused: as MLflow answered.
    """
    from include.config import thresholds
    from include.db.pipeline import PipelineReport, read_frames, replace_forecast
    from ml.features.pipeline import prepare
    from ml.pipeline_value import outlook, pipeline_roas
    from ml.registry import champion, connect, load_pipeline_model, model_name

    limits = thresholds().pipeline_value
    settings, name, at = pipeline_settings(limits), model_name(FAMILY, SCOPE), beginning_of(day)
    version = champion(connect(tracking_uri), name)
    if version is None:
        return _nothing(day, f"'{name}' has no champion yet: train_pipeline_value makes the first")
    frames = read_frames(engine).known(at)
    if frames.deals.empty:
        return _nothing(day, "the CRM holds no deals created before this day: run hubspot_etl")
    model = load_pipeline_model(tracking_uri, version.uri)
    histories = prepare(frames)
    look = outlook(model, histories, at, settings)
    paid, apart = _spend_of_sellers(frames, histories.deals["account_id"], at, settings.window_days)
    tables = {
        level: pipeline_roas(look, paid, level, at, settings, model.spread) for level in ("campaign", "ad")
    }
    told = _told(frames, look, at, limits, version)
    told["window_days"], told["horizon_days"], told["interval"] = (
        settings.window_days, settings.horizon_days, settings.interval,
    )  # fmt: skip
    told["without_deals"] = apart
    rows = [row for level, table in tables.items() for row in _rows(level, table)]
    report = PipelineReport(day, name, version.version, told, datetime.now(UTC))
    replace_forecast(engine, report, rows)
    campaigns = tables["campaign"]
    return {
        "forecast": True,
        "day": day.isoformat(),
        "model_version": version.version,
        "campaigns": int((campaigns["campaign_id"] != "").sum()),
        "ads": int((tables["ad"]["ad_id"] != "").sum()),
        "deals": len(look.deals),
        "open_deals": int(look.deals["is_open"].sum()),
        "won_value": round(float(campaigns["won_value"].sum()), 2),
        "expected_value": round(float(campaigns["expected_value"].sum()), 2),
        "attributed_share": told["attributed_share"],
        "spend": round(float(campaigns["spend"].sum()), 2),
        "outcome": "",
    }


def forecast_report(made: Mapping[str, Any]) -> dict[str, Any]:
    """What the run did, and a sentence of it."""
    if made["outcome"]:
        return {**made, "summary": f"No forecast for {made['day']}: {made['outcome']}."}
    attributed = made["attributed_share"]
    summary = (
        f"v{made['model_version']} expects ${made['expected_value']:,.0f} more from "
        f"{made['open_deals']:,} open deals, "
        f"beside ${made['won_value']:,.0f} won, for ${made['spend']:,.0f} spent; {made['deals']:,} deals of "
        f"{made['campaigns']} campaigns"
        + (f", {attributed:.0%} of them traced to a campaign." if attributed is not None else ".")
    )
    return {**made, "summary": summary}


def _nothing(day: date, outcome: str) -> dict[str, Any]:
    empty = ("model_version", "attributed_share")
    counts = ("campaigns", "ads", "deals", "open_deals", "won_value", "expected_value", "spend")
    return {
        "forecast": False,
        "day": day.isoformat(),
        "outcome": outcome,
        **dict.fromkeys(empty),
        **dict.fromkeys(counts, 0),
    }


def _spend_of_sellers(
    frames: CrmFrames, with_deals: pd.Series, at: np.datetime64, days: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What accounts spent that ever had a deal; and how many others spent within the days, and how much.

    An account whose sales are not in the CRM has no pipeline: a return of nothing would be false.
    """
    import numpy as np

    spend = frames.spend.merge(frames.ads[["account_id", "ad_id", "campaign_id"]], on=["account_id", "ad_id"])
    sells = spend["account_id"].isin(with_deals.dropna())
    recent = spend["day"].to_numpy() >= at - np.timedelta64(days, "D")
    others = spend[~sells & recent]
    apart = {"accounts": int(others["account_id"].nunique()), "spend": _plain(float(others["spend"].sum()))}
    return spend[sells], apart


def _rows(level: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    renamed = table.rename(columns={"low": "value_low", "high": "value_high"}).assign(level=level)
    if "ad_id" not in renamed:
        renamed["ad_id"] = ""
    return [{name: _plain(value) for name, value in row.items()} for row in renamed.to_dict("records")]


def _told(
    frames: CrmFrames,
    look: DealOutlook,
    at: np.datetime64,
    limits: PipelineValueThresholds,
    version: RegisteredVersion,
) -> dict[str, Any]:
    """Everything the page shows beside the rows, as JSON. No person is in it but owners, by the CRM's
    id.
    """
    from ml.features.pipeline_ad_types import ad_types
    from ml.features.pipeline_norms import stage_norms
    from ml.features.pipeline_people import owner_effects, reason_drift

    matched = look.deals["matched_by"].value_counts()
    reasons = reason_drift(frames, at, limits.min_reason_deals)
    shown = (
        "mape_campaign",
        "mape_stage_table",
        "mape_last_month",
        "mape_luck",
        "coverage",
        "ratio_open",
        "campaigns",
    )
    return {
        "data_until": str(frames.stage_events["entered_at"].max())[:16],
        "matched_by": {str(name): int(count) for name, count in matched.items()},
        "attributed_share": _plain(float(look.deals["campaign_id"].notna().mean()))
        if len(look.deals)
        else None,
        "ad_types": _records(ad_types(frames, at, limits.min_cell_deals)),
        "stage_norms": _records(stage_norms(frames, at)),
        "owners": _records(owner_effects(frames)),
        "reasons": {
            "rows": _records(reasons.table),
            "distance": _plain(reasons.distance),
            "p_value": _plain(reasons.p_value),
            "new": list(reasons.new),
        },
        "model": {name: _plain(version.metrics[name]) for name in shown if name in version.metrics}
        | {name: version.tags.get(name, "") for name in ("trained_for", "judged_at", "gates")},
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    """Values JSON and PostgreSQL know; what is infinite or missing is None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
