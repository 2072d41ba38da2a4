"""Sums of a current window, day by day and niche by niche, so that any part of it is a sum of these.

What the model has learnt from and what it has not, the newest days, each niche: all are sums over days. And
days overlap from report to report: whoever keeps them sums up only the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.drift.plan import DriftPlan
from ml.drift.profile import NO_DAY, Loss, Profile
from ml.drift.sketch import Sketch, merge
from ml.drift.windows import Window

if TYPE_CHECKING:
    from ml.drift.reference import Reference

Packed = dict[str, np.ndarray]


class WindowSums:
    """Sums of parts of windows by key; the first element of a key is the niche, "" for all rows.

    Those of niches are kept packed: most cells of a niche's tables are empty.
    """

    def __init__(self, plan: DriftPlan, loss: Loss) -> None:
        self.plan, self.loss = plan, loss
        self._packed: dict[tuple[str, int], Packed] = {}
        self._open: dict[tuple[str, int], Profile] = {}

    @property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """Niche and second part of everything there is."""
        return (*self._open, *self._packed)

    def add(self, profile: Profile, niche: str, other: int) -> None:
        """Add rows to those under a key."""
        key = niche, other
        if key in self._open:
            self._open[key].add(profile)
            return
        if key in self._packed:
            profile.add(self.profile(*key))
        if niche or key in self._packed:
            self._packed[key] = profile.packed()
        else:
            self._open[key] = profile

    def profile(self, niche: str, other: int) -> Profile:
        """The sums under a key that there is."""
        key = niche, other
        return (
            self._open[key]
            if key in self._open
            else Profile.unpacked(self.plan, self.loss, self._packed[key])
        )

    def pack(self) -> dict[tuple[str, int], Packed]:
        """Pack everything, and return it; what is added later is packed by the next call."""
        self._packed |= {key: profile.packed() for key, profile in self._open.items()}
        self._open.clear()
        return self._packed

    def total(self, niche: str, wanted: Callable[[int], bool]) -> Profile:
        """The sums of a niche under all second parts that are wanted."""
        total = Profile.empty(self.plan, self.loss)
        for of, other in self.keys:
            if of == niche and wanted(other):
                total.add(self.profile(of, other))
        return total

    def take(self, other: WindowSums) -> None:
        """Add what another one has, which must have other keys.

        Raises:
            ValueError: a key is in both.
        """
        if twice := set(self.keys) & set(other.keys):
            raise ValueError(f"{len(twice)} parts of the window are there twice: give each day once")
        self._packed |= other._packed
        self._open |= other._open


class DaySums:
    """A window's rows by day and niche, and the sketches of its columns."""

    def __init__(self, reference: Reference) -> None:
        self._sums = WindowSums(reference.plan, reference.loss)
        self._empty = reference.sketched(())
        self.sketches: dict[str, Sketch] = self._empty
        self._last: tuple[int, dict[str, Sketch]] = (NO_DAY, self._empty)

    @classmethod
    def of(cls, reference: Reference, pieces: Iterable[Window]) -> DaySums:
        """Sum up the pieces of a window in the reference's bins; memory holds one piece."""
        made = cls(reference)
        for piece in pieces:
            for niche, part in {"": piece, **niche_windows(piece)}.items():
                for day, profile in Profile.by_day(reference.plan, reference.loss, part).items():
                    made._sums.add(profile, niche, day)
            made.sketches = _merged(made.sketches, reference.sketched((piece.rows,)))
            if piece.days is not None and len(piece):
                days = piece.days.astype("int64")
                newest = piece.rows[days == days.max()]
                made._note_last(int(days.max()), reference.sketched((newest,)))
        made._sums.pack()
        return made

    def take(self, other: DaySums) -> None:
        """Add the sums of other days.

        Raises:
            ValueError: a day is in both.
        """
        self._sums.take(other._sums)
        self.sketches = _merged(self.sketches, other.sketches)
        self._note_last(*other._last)

    def _note_last(self, day: int, sketches: dict[str, Sketch]) -> None:
        last, known = self._last
        if day >= last:
            self._last = day, _merged(known, sketches) if day == last else sketches

    @property
    def niches(self) -> tuple[str, ...]:
        """Of the rows, by name."""
        return tuple(sorted({niche for niche, _ in self._sums.keys if niche}))

    def sketches_on(self, day: np.datetime64) -> dict[str, Sketch]:
        """Of the columns of the last day's rows; empty ones where that is another day."""
        last, sketches = self._last
        return sketches if last == _number(day) else self._empty

    def whole(self, niche: str = "") -> Profile:
        """All rows; those of a niche where one is named."""
        return self._sums.total(niche, lambda day: True)

    def after(self, day: np.datetime64 | None, niche: str = "") -> Profile:
        """The rows of later days; none where no day is given, and never those without a date."""
        last = None if day is None else _number(day)
        return self._sums.total(niche, lambda each: last is not None and each > last)


def _number(day: np.datetime64) -> int:
    return int(day.astype("datetime64[D]").astype("int64"))


def _merged(first: dict[str, Sketch], second: dict[str, Sketch]) -> dict[str, Sketch]:
    return {name: merge(sketch, second[name]) for name, sketch in first.items()}


def niche_windows(window: Window) -> dict[str, Window]:
    """The rows of each niche, by name; empty where rows have none."""
    if window.niches is None:
        return {}
    names = pd.Series(window.niches, dtype="object")
    return {
        str(niche): window.take((names == niche).to_numpy(), f"{window.label}, {niche}")
        # A blank name is no niche; it is also our key of all rows.
        for niche in sorted(names.dropna().unique())
        if str(niche)
    }
