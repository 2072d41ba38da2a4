"""From histories to rows to learn from: does an open deal end within a stretch of days ahead?

A deal is looked at several times in its life (landmarks). From each look on, every stretch of days ahead up
to the deal's end is a row: 0 still open, 1 won, 2 lost. A stretch that reaches past what is known is left out
whether the deal ended in it or not, so an open deal counts as open for as long as it was, and as nothing
after that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.features.pipeline import Histories, asof, deal_features, sortable

# Days of age at which a deal is looked at, moved by up to the gap to the next so that every age occurs.
LANDMARKS = np.array([0.0, 2.0, 5.0, 9.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0, 120.0])
# Ends of the stretches ahead, days; the last is as far as anything can be told.
EDGES = np.array([2.0, 5.0, 9.0, 14.0, 21.0, 30.0, 45.0, 65.0, 100.0, 180.0])
OPEN, WON, LOST = 0, 1, 2


@dataclass(frozen=True)
class PersonPeriods:
    """Rows to learn from.

    Attributes:
        landmarks: (m, k) features of the looks, with `amount` of that moment.
        look: (n,) the row of `landmarks` a row belongs to.
        stretch: (n,) which stretch ahead, a position in `EDGES`.
        ended: (n,) OPEN, WON or LOST at its end.
        codes: (m,) the deal of each look.
        moments: (m,) when it was looked at.
        final_amount: (m,) what the deal was won for; missing where it was not.
    """

    landmarks: pd.DataFrame
    look: npt.NDArray[np.int64]
    stretch: npt.NDArray[np.int64]
    ended: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]
    moments: npt.NDArray[np.datetime64]
    final_amount: npt.NDArray[np.float64]


def person_periods(
    histories: Histories, until: np.datetime64, since: np.datetime64, seed: int
) -> PersonPeriods:
    """All rows of the deals created from `since` on, as far as they are known at `until`."""
    codes, moments = _looks(histories, until, since, seed)
    features = deal_features(histories, codes, moments)
    looked = features["is_open"].to_numpy(dtype=bool)
    codes, moments, features = codes[looked], moments[looked], features[looked].reset_index(drop=True)
    days, ending, final = next_end(histories, codes, moments, until)
    ended_in = np.searchsorted(EDGES, days, side="left")
    watched = np.asarray((until - moments) / np.timedelta64(1, "D"), dtype="float64")
    seen = np.searchsorted(EDGES, watched, side="right")
    # A stretch that is not wholly seen yet is left out of ended deals too: open ones have no row in it, and
    # ends alone would make deals look faster than they are.
    rows = np.where(ending > 0, np.minimum(ended_in + 1, seen), seen)
    look = np.repeat(np.arange(len(codes)), rows)
    stretch = np.arange(len(look)) - np.repeat(np.cumsum(rows) - rows, rows)
    ended = np.where(stretch == ended_in[look], ending[look], OPEN)
    return PersonPeriods(features, look, stretch, ended, codes, moments, final)


def next_end(
    histories: Histories,
    codes: npt.NDArray[np.int64],
    moments: npt.NDArray[np.datetime64],
    until: np.datetime64,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """How the open deals ended first after the moments, as known at `until`.

    Returns:
        days to the end, or to `until`; OPEN, WON or LOST; and the amount they were won for, else
        missing.
    """
    closing = histories.stage_events[histories.stage_events["is_closed"]]
    days = np.asarray((until - moments) / np.timedelta64(1, "D"), dtype="float64")
    if closing.empty:
        return days, np.zeros(len(codes), np.int64), np.full(len(codes), np.nan)
    keys = sortable(closing["code"].to_numpy(), closing["entered_at"].to_numpy())
    at = np.minimum(np.searchsorted(keys, sortable(codes, moments), side="right"), len(keys) - 1)
    entered = closing["entered_at"].to_numpy()[at]
    found = (closing["code"].to_numpy()[at] == codes) & (entered > moments) & (entered <= until)
    won = closing["is_won"].to_numpy(dtype=bool)[at]
    ending = np.where(found, np.where(won, WON, LOST), OPEN)
    days = np.where(found, (entered - moments) / np.timedelta64(1, "D"), days)
    amount = histories.amount_events
    final = np.full(len(codes), np.nan)
    if len(amount):
        # The amount that stands when all is known: sales people correct it for hours after signing.
        last = asof(histories.amount_keys, codes, np.full(len(codes), until))
        own = amount["code"].to_numpy()[last] == codes
        final = np.where(own & (ending == WON), amount["amount"].to_numpy()[last], np.nan)
    return days, ending.astype(np.int64), final


def _looks(
    histories: Histories, until: np.datetime64, since: np.datetime64, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.datetime64]]:
    created = histories.deals["created_at"].to_numpy()
    wanted = np.flatnonzero((created >= since) & (created <= until))
    # Drawn for all deals in their order, so that a deal's looks stay when others are added later.
    moved = np.random.default_rng(seed).random((len(created), len(LANDMARKS)))[wanted]
    gaps = np.diff(np.append(LANDMARKS, LANDMARKS[-1] * 1.4))
    ages = LANDMARKS + moved * gaps
    ages[:, 0] = 0.0
    moments = created[wanted][:, None] + (ages * 86_400e6).astype("timedelta64[us]")
    codes = np.repeat(wanted, len(LANDMARKS))
    moments = moments.ravel()
    before = moments < until
    return codes[before], moments[before]
