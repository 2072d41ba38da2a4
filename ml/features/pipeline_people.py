"""What goes with the people and reasons of deals: owners against their teams, and why deals are won and lost.

An owner's effect is how much more often their deals are won than the same mix of pipelines and kinds of deals
elsewhere, pulled towards the team (empirical Bayes). It is a correlation and no verdict on anybody: deals are
not dealt out by lot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.features.pipeline_frames import CrmFrames, naive
from ml.features.survival import Z_95

NO_REASON = "(none given)"
RARE_REASON = "(other)"
RECENT_DAYS = 30


def owner_effects(frames: CrmFrames) -> pd.DataFrame:
    """Owners by how their closed deals did against the mix, shrunk towards their team.

    Returns:
        owner_id, team, closed, won, win_rate, expected_rate (of the same mix of pipeline, kind of deal
        and size), raw_effect and effect (shares; win rate beyond the expected one), low and high (95 %),
        and spread (standard deviation of true effects between owners, as estimated).
    """
    deals = frames.state()
    closed = deals[deals["is_closed"] & deals["owner_id"].notna()].copy()
    columns = [
        "owner_id", "team", "closed", "won", "win_rate", "expected_rate", "raw_effect", "effect", "low",
        "high", "spread",
    ]  # fmt: skip
    if closed.empty:
        return pd.DataFrame(columns=columns)
    size = closed.groupby("pipeline_id")["first_amount"].transform(lambda amount: amount > amount.median())
    mix = [closed["pipeline_id"], closed["deal_type"].fillna(""), size]
    closed["expected"] = closed["is_won"].groupby(mix).transform("mean")
    table = closed.groupby("owner_id").agg(
        team=("team", "last"), closed=("is_won", "size"), won=("is_won", "sum"), expected=("expected", "mean")
    )
    table["win_rate"] = table["won"] / table["closed"]
    table["raw_effect"] = table["win_rate"] - table["expected"]
    noise = table["expected"] * (1 - table["expected"]) / table["closed"]
    team = table.groupby(table["team"].fillna(""))
    weighted = (table["raw_effect"] * table["closed"]).groupby(table["team"].fillna("")).sum()
    centre = table["team"].fillna("").map(weighted / team["closed"].sum())
    # The method of moments: what the owners differ by, less what chance makes them differ by.
    between = max(float(((table["raw_effect"] - centre) ** 2 - noise).mean()), 0.0)
    keep = between / (between + noise)
    table["effect"] = centre + keep * (table["raw_effect"] - centre)
    half = Z_95 * np.sqrt(keep * noise)
    table["low"], table["high"] = table["effect"] - half, table["effect"] + half
    table["spread"] = np.sqrt(between)
    table = table.rename(columns={"expected": "expected_rate"}).reset_index()
    return table.sort_values("effect", ascending=False)[columns].reset_index(drop=True)


@dataclass(frozen=True)
class ReasonDrift:
    """Whether the reasons of the last days are those of the days before.

    Attributes:
        table: reason, outcome (won or lost), recent, before (counts) and their shares.
        distance: Jensen-Shannon distance of the two mixes of lost reasons, 0 to 1.
        p_value: that chance alone makes such a difference (permutation-free chi-squared test).
        new: reasons of these days that never occurred before: the CRM's list may have changed.
    """

    table: pd.DataFrame
    distance: float
    p_value: float
    new: tuple[str, ...]


def reason_drift(frames: CrmFrames, now: object, min_deals: int) -> ReasonDrift:
    """Why deals were won and lost in the last 30 days and before.

    Args:
        frames: what is known at `now`.
        now: the moment; the last 30 days are those before it.
        min_deals: a reason that fewer deals give is told as `(other)`: sales people may write what they
            like there, people's names too, and what several deals say alike is a choice from a list.
    """
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2_contingency

    deals = frames.state()
    closed = deals[deals["is_closed"]].copy()
    closed["outcome"] = np.where(closed["is_won"], "won", "lost")
    reason = closed["won_reason"].where(closed["is_won"], closed["lost_reason"])
    closed["reason"] = reason.fillna(NO_REASON).astype(str).str.slice(0, 60)
    given = closed.groupby("reason")["deal_id"].transform("size")
    rare = (given < min_deals) & (closed["reason"] != NO_REASON)
    closed["reason"] = closed["reason"].where(~rare, RARE_REASON)
    closed["recent"] = closed["closed_at"].to_numpy() > naive(now) - np.timedelta64(RECENT_DAYS, "D")
    table = pd.crosstab([closed["outcome"], closed["reason"]], closed["recent"])
    table = table.reindex(columns=[False, True], fill_value=0).rename(
        columns={False: "before", True: "recent"}
    )
    for name in ("before", "recent"):
        table[f"{name}_share"] = table[name] / table[name].groupby(level="outcome").transform("sum").clip(
            lower=1
        )
    lost = table.loc["lost", ["before", "recent"]].to_numpy() if "lost" in table.index else np.zeros((0, 2))
    distance, p_value = 0.0, 1.0
    if len(lost) > 1 and (lost.sum(axis=0) > 0).all():
        distance = float(jensenshannon(lost[:, 0], lost[:, 1], base=2))
        p_value = float(chi2_contingency(lost[lost.sum(axis=1) > 0]).pvalue)
    new = table[(table["before"] == 0) & (table["recent"] > 0)].index.get_level_values("reason")
    return ReasonDrift(
        table.reset_index(),
        distance,
        p_value,
        tuple(str(reason) for reason in new if reason not in {NO_REASON, RARE_REASON}),
    )
