"""How long deals stay in a stage, and how long they take to close, with those that still wait counted as
such.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.features.pipeline_frames import DAY, CrmFrames
from ml.features.survival import kaplan_meier


def stage_norms(frames: CrmFrames, now: pd.Timestamp | None = None) -> pd.DataFrame:
    """The norm of every open stage, from all stays known.

    Args:
        frames: what is known.
        now: until when; the newest event by default.

    Returns:
        pipeline_id, stage_id, label, display_order, stays (times a deal entered), waiting (of them,
        still there), median_days, low and high (95 %; infinite where half have not left yet), won_share
        (of the closed deals that passed through, those won) and crm_probability (what the CRM's table
        claims).
    """
    events = frames.stage_events.merge(frames.deals[["deal_id", "pipeline_id"]], on="deal_id")
    events = events.sort_values(["deal_id", "entered_at"], kind="stable")
    left = events.groupby("deal_id")["entered_at"].shift(-1)
    until = _newest(frames) if now is None else now
    events["days"] = (left.fillna(until) - events["entered_at"]).to_numpy() / DAY
    events["left"] = left.notna()
    ends = frames.state().set_index("deal_id")[["is_closed", "is_won"]]
    events = events.join(ends.rename(columns={"is_closed": "ended", "is_won": "won"}), on="deal_id")
    stages = frames.stages[~frames.stages["is_closed"]]
    rows = []
    stays = dict(list(events.groupby(["pipeline_id", "stage_id"])))
    for stage in stages.sort_values(["pipeline_id", "display_order"]).itertuples():
        of_stage = stays.get((stage.pipeline_id, stage.stage_id), events.iloc[:0])
        median, low, high = kaplan_meier(
            of_stage["days"].to_numpy(), of_stage["left"].to_numpy(bool)
        ).median()
        ended = of_stage.drop_duplicates("deal_id").query("ended")
        rows.append(
            {
                "pipeline_id": stage.pipeline_id,
                "stage_id": stage.stage_id,
                "label": stage.label,
                "display_order": stage.display_order,
                "stays": len(of_stage),
                "waiting": int((~of_stage["left"]).sum()),
                "median_days": median,
                "low": low,
                "high": high,
                "won_share": float(ended["won"].mean()) if len(ended) else np.nan,
                "crm_probability": stage.probability,
            }
        )
    return pd.DataFrame(
        rows,
        columns=[
            "pipeline_id", "stage_id", "label", "display_order", "stays", "waiting", "median_days", "low",
            "high", "won_share", "crm_probability",
        ],
    )  # fmt: skip


def _newest(frames: CrmFrames) -> pd.Timestamp:
    """The moment up to which is known: the newest event there is."""
    return max(
        frames.stage_events["entered_at"].max(),
        frames.deals["created_at"].max(),
        pd.Timestamp(0) if frames.amount_events.empty else frames.amount_events["changed_at"].max(),
    )
