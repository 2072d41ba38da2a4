"""How a simulated deal moves: stages and their times, steps back, loss, win, re-opening, its amount.

Every deal walks its pipeline's open stages in order up to the last one it reaches, perhaps with one step
back, and is then closed. `sales_truth` has the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator import sales_truth as truth
from include.simulator.draws import stream

if TYPE_CHECKING:
    from include.simulator.world import SimulatedWorld

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A walk visits each open stage once, with a step back two more.
_MOST_STEPS = max(len(p.open_stages) for p in truth.PIPELINES) + 2
_SHORTEST_STAY_S = 120


@dataclass(frozen=True)
class Path:
    """What happened to deals.

    Attributes:
        stage_events: deal_id, stage_id, entered_at, by deal and time.
        amount_events: deal_id, changed_at, amount.
        first_move: (n,) when each deal left its first stage, closing included.
    """

    stage_events: pd.DataFrame
    amount_events: pd.DataFrame
    first_move: pd.Series


def walk(seed: int, world: SimulatedWorld, deals: pd.DataFrame, number: Ints, win_chance: Floats) -> Path:
    """Draw the fate of every deal.

    Args:
        deals: deal_id, pipeline_id, niche, ad_number, created_at.
        number: (n,) position of each deal among all conversions: whose draws it takes.
        win_chance: (n,) chance of being won, before any re-opening.
    """
    most = int(number.max(initial=-1)) + 1
    u = stream(seed, "deal_fates").random((most, 8))[number]
    z = stream(seed, "deal_times").standard_normal((most, _MOST_STEPS + 6))[number]
    won = u[:, 0] < win_chance
    open_count = deals["pipeline_id"].map({p.pipeline_id: len(p.open_stages) for p in truth.PIPELINES})
    stages = np.asarray(open_count, np.int64)
    last = np.where(won, stages - 1, _lost_at(stages, u[:, 1]))
    back = (u[:, 2] < truth.REGRESSES) & (last >= 1)
    turn = np.where(back, 1 + np.floor(u[:, 3] * last).astype(np.int64), 0)
    pace = truth.pace_of_ads(world.ads)[deals["ad_number"].to_numpy()]

    steps = last + 1 + 2 * back
    deal = np.repeat(np.arange(len(deals)), steps)
    nth = np.arange(len(deal)) - np.repeat(np.cumsum(steps) - steps, steps)
    after = nth - turn[deal]
    stage = np.where(back[deal] & (after >= 1), np.where(after == 1, turn[deal] - 1, nth - 2), nth)
    days = _medians()[_pipeline_number(deals)[deal], stage] * pace[deal]
    days = days * np.exp(truth.STAGE_SPREAD * z[deal, nth])
    lingers = ~won[deal] & (nth == steps[deal] - 1)
    stay_s = np.maximum(_SHORTEST_STAY_S, np.round(86_400 * days * np.where(lingers, truth.LINGERING, 1.0)))
    passed = np.cumsum(stay_s)
    before = passed - stay_s
    entered = before - before[np.cumsum(steps) - steps][deal]
    closed = np.bincount(deal, weights=stay_s, minlength=len(deals))

    reopened = ~won & (u[:, 4] < truth.REOPENED)
    wait = 86_400 * 15 * np.exp(0.5 * z[:, _MOST_STEPS])
    again = closed + np.round(wait)
    second = 86_400 * 6 * pace * np.exp(truth.STAGE_SPREAD * z[:, _MOST_STEPS + 1])
    closed_again = again + np.maximum(_SHORTEST_STAY_S, np.round(second))
    won_late = reopened & (u[:, 5] < truth.WON_AFTER_REOPENING)

    everyone, late = np.arange(len(deals)), np.flatnonzero(reopened)
    names = _names(deals)
    won_at, lost_at = names.shape[1] - 2, names.shape[1] - 1
    events = pd.DataFrame(
        {
            "deal": np.concatenate([deal, everyone, late, late]),
            "stage": np.concatenate(
                [stage, np.where(won, won_at, lost_at), last[late], np.where(won_late, won_at, lost_at)[late]]
            ),
            "after_s": np.concatenate([entered, closed, again[late], closed_again[late]]).astype("int64"),
        }
    ).sort_values(["deal", "after_s"], kind="stable", ignore_index=True)
    of = events["deal"].to_numpy()
    created = deals["created_at"]
    at = created.iloc[of].reset_index(drop=True) + pd.to_timedelta(events["after_s"], unit="s")
    first_s = np.where(steps > 1, stay_s[np.cumsum(steps) - steps], closed)
    won_s = np.where(won, closed, np.where(won_late, closed_again, np.nan))
    return Path(
        stage_events=pd.DataFrame(
            {
                "deal_id": deals["deal_id"].to_numpy()[of],
                "stage_id": names[of, events["stage"].to_numpy()],
                "entered_at": at,
            }
        ),
        amount_events=_amounts(deals, u[:, 6], z[:, _MOST_STEPS + 2 :], first_s, last >= 1, won_s),
        first_move=created + pd.to_timedelta(first_s.astype("int64"), unit="s"),
    )


def _lost_at(stages: Ints, draw: Floats) -> Ints:
    """The stage a lost deal stops at: `truth.LOST_AT`, cut to each pipeline's length."""
    edges = np.cumsum(truth.LOST_AT)
    reach = edges[stages - 1]
    return np.minimum(np.searchsorted(edges, draw * reach, side="right"), stages - 1).astype(np.int64)


def _amounts(
    deals: pd.DataFrame,
    draw: Floats,
    z: Floats,
    first_s: Floats,
    moves_on: npt.NDArray[np.bool_],
    won_s: Floats,
) -> pd.DataFrame:
    """Estimated at the beginning or at the first move, revised there, and settled when won."""
    value = deals["niche"].map({niche: s.value for niche, s in truth.NICHE_SALES.items()}).to_numpy("float64")
    final = value * np.exp(truth.VALUE_SPREAD * z[:, 0])
    estimate = np.round(final / truth.DISCOUNT * np.exp(truth.ESTIMATE_SPREAD * z[:, 1]), -1)
    revised = np.round(final / truth.DISCOUNT * np.exp(0.5 * truth.ESTIMATE_SPREAD * z[:, 2]), -1)
    at_once = draw < truth.ESTIMATED_AT_ONCE
    is_won = ~np.isnan(won_s)
    parts = (
        (at_once, np.zeros(len(deals)), estimate),
        (moves_on, first_s, revised),
        (is_won, np.nan_to_num(won_s), np.round(final, 2)),
    )
    frames = []
    for which, after_s, amount in parts:
        at = deals["created_at"] + pd.to_timedelta(after_s.astype("int64"), unit="s")
        told = pd.DataFrame({"deal_id": deals["deal_id"], "changed_at": at, "amount": amount})
        frames.append(told[which])
    events = pd.concat(frames, ignore_index=True)
    # A deal that is won in its first move has its final amount then, not two.
    return events.drop_duplicates(["deal_id", "changed_at"], keep="last", ignore_index=True)


def _pipeline_number(deals: pd.DataFrame) -> Ints:
    numbers = {p.pipeline_id: number for number, p in enumerate(truth.PIPELINES)}
    return np.asarray(deals["pipeline_id"].map(numbers), np.int64)


def _medians() -> Floats:
    """(pipelines, most open stages) days; 0 where a pipeline has no such stage."""
    most = max(len(p.open_stages) for p in truth.PIPELINES)
    table = np.zeros((len(truth.PIPELINES), most))
    for number, pipeline in enumerate(truth.PIPELINES):
        table[number, : len(pipeline.open_stages)] = [s.median_days for s in pipeline.open_stages]
    return table


def _names(deals: pd.DataFrame) -> np.ndarray:
    """(n, most open stages + 2) stage ids of each deal's pipeline, won and lost last."""
    most = max(len(p.open_stages) for p in truth.PIPELINES)
    table = np.full((len(truth.PIPELINES), most + 2), "", dtype=object)
    for number, pipeline in enumerate(truth.PIPELINES):
        table[number, : len(pipeline.open_stages)] = [s.stage_id for s in pipeline.open_stages]
        table[number, -2:] = [pipeline.won.stage_id, pipeline.lost.stage_id]
    return np.asarray(table[_pipeline_number(deals)])
