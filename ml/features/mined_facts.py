"""What mined features are computed from: the figures of each ad and day, and the week's breakdowns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ml.features.mined_windows import Windows

if TYPE_CHECKING:
    from ml.features.mined_cells import Cube


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """(n,) quotients; NaN where either is unknown or there is nothing to divide by."""
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def concentration(shares: np.ndarray) -> np.ndarray:
    """(n,) Herfindahl-Hirschman index of (n, k) shares: 1 where one has all, 1/k where all have the same."""
    return np.asarray((shares**2).sum(axis=1))


def evenness(shares: np.ndarray) -> np.ndarray:
    """(n,) entropy of (n, k) shares in nats: 0 where one has all."""
    positive = np.where(shares > 0, shares, 1.0)
    return np.asarray(
        np.where(np.isnan(shares).any(axis=1), np.nan, -(shares * np.log(positive)).sum(axis=1))
    )


@dataclass(frozen=True)
class Facts:
    """Everything about n ad-days.

    Attributes:
        windows: their order.
        day: by name, (n,) figures of the day itself; NaN where unknown.
        cubes: by breakdown (see `mined_cells.BREAKDOWNS`), the cells of the week that ends with the day.
    """

    windows: Windows
    day: Mapping[str, np.ndarray]
    cubes: Sequence[Cube]
    _weeks: dict[str, np.ndarray] = field(default_factory=dict)

    def week(self, name: str) -> np.ndarray:
        """(n,) the figure's sum over the week that ends with the day."""
        if name not in self._weeks:
            self._weeks[name] = self.windows.trailing(self.day[name])
        return self._weeks[name]

    def week_where(self, name: str, other: str) -> np.ndarray:
        """(n,) the week's sum of a figure over the days on which another one is known and above 0."""
        known = np.nan_to_num(self.day[other]) > 0
        return self.windows.trailing(np.where(known, self.day[name], 0.0))

    def share(self, breakdown: int, *names: str) -> np.ndarray:
        """(n,) share of the week's impressions in slots that have one of the names."""
        return self.cubes[breakdown].share(names)

    def shares(self, breakdown: int) -> np.ndarray:
        """(n, k) share of each slot but what Meta left out; NaN where the week has no cells."""
        cube = self.cubes[breakdown]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(cube.impressions[:, :-1] / cube.allocated[:, None])

    def lift(self, breakdown: int, events: str, trials: str, *names: str) -> np.ndarray:
        """(n,) events per trial in some slots over the ad's own rate, shrunk; see `Windows.lift`."""
        cube = self.cubes[breakdown]
        every = tuple(range(len(cube.slots)))
        own = ratio(getattr(cube, events)[:, every].sum(axis=1), getattr(cube, trials)[:, every].sum(axis=1))
        own = np.where(own > 0, own, np.nan)
        return self.windows.lift(cube.of(events, names), cube.of(trials, names) * own)

    def price_lift(self, breakdown: int, *names: str) -> np.ndarray:
        """(n,) what a thousand impressions cost in some slots over the ad's own price.

        Pulled to 1 as if a tenth of the ad's impressions had been bought there at its own price: prices carry
        no counting noise, but that of a handful of impressions is an accident.
        """
        cube = self.cubes[breakdown]
        spend, total = cube.spend.sum(axis=1), cube.total
        own = ratio(spend, total)
        prior = 0.1 * spend
        return ratio(cube.of("spend", names) + prior, cube.of("impressions", names) * own + prior)

    @cached_property
    def frequency(self) -> np.ndarray:
        """(n,) Meta's frequency of the day, else impressions over reach."""
        told = self.day["frequency"]
        return np.where(told > 0, told, ratio(self.day["impressions"], self.day["reach"]))

    @cached_property
    def rate(self) -> np.ndarray:
        """(n,) click rate of the week, pulled to the account's."""
        return self.windows.shrunk(self.day["clicks"], self.day["impressions"])
