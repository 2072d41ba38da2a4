"""Finds features of deals, or of ads by their deals, that know what had not happened yet.

Everything after a moment is changed: later stages and amounts are others, open deals end otherwise, reasons
are dealt out anew. What was known by then stays, so the features of that moment and of earlier ones must not
move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from ml.features.pipeline_frames import CrmFrames, naive

# What a later amount is multiplied by.
_OTHER = 3.0


def peeking_deal_features(
    build: Callable[[CrmFrames, np.datetime64], pd.DataFrame], frames: CrmFrames, moment: object, seed: int
) -> list[str]:
    """Names of the columns that change when only what comes after the moment does.

    Args:
        build: makes columns of the same rows, in the same order, from frames that know more than the
            moment.
        frames: histories that go on after it.
        moment: what `build` is asked for.
        seed: of the changes.

    Returns:
        Empty when all is well.
    """
    cut = naive(moment)
    before, after = build(frames, cut), build(_changed(frames, cut, seed), cut)
    return [name for name in before.columns if name not in after or not _equal(before[name], after[name])]


def _changed(frames: CrmFrames, cut: np.datetime64, seed: int) -> CrmFrames:
    random = np.random.default_rng(seed)
    later = frames.stage_events["entered_at"].to_numpy() > cut
    stages = frames.stage_events.copy()
    pipeline = stages["deal_id"].map(frames.deals.set_index("deal_id")["pipeline_id"])
    ends = frames.stages[frames.stages["is_closed"]]
    # Later stages become the other end of their pipeline: every fate that was told later is another.
    for name, rows in ends.groupby("pipeline_id"):
        lost = rows.loc[~rows["is_won"], "stage_id"].iloc[0] if (~rows["is_won"]).any() else None
        won = rows.loc[rows["is_won"], "stage_id"].iloc[0] if rows["is_won"].any() else None
        if lost is None or won is None:
            continue
        here = later & (pipeline == name).to_numpy()
        stages.loc[here, "stage_id"] = np.where(stages.loc[here, "stage_id"] == won, lost, won)
    amounts = frames.amount_events.copy()
    grown = amounts["changed_at"].to_numpy() > cut
    amounts.loc[grown, "amount"] = amounts.loc[grown, "amount"] * _OTHER + 1.0
    owners = frames.owner_events.copy()
    moved = owners["changed_at"].to_numpy() > cut
    owners.loc[moved, "owner_id"] = random.permutation(owners.loc[moved, "owner_id"].to_numpy())
    last = stages.groupby("deal_id")["entered_at"].max()
    deals = frames.deals.copy()
    touched = (deals["deal_id"].map(last).to_numpy() > cut) | (deals["created_at"].to_numpy() > cut)
    for reason in ("lost_reason", "won_reason"):
        deals.loc[touched, reason] = "another"
    return replace(frames, deals=deals, stage_events=stages, amount_events=amounts, owner_events=owners)


def _equal(one: pd.Series, other: pd.Series) -> bool:
    if len(one) != len(other):
        return False
    if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other):
        return bool(np.allclose(one.astype("float64"), other.astype("float64"), rtol=1e-9, equal_nan=True))
    return bool(((one == other) | (one.isna() & other.isna())).all())
