"""The reference of a model version, summed up once: the days it learnt from, by weekday and by niche.

The nightly report needs nothing else of the past, so it costs what a week of rows costs, however long the
model learnt. Weekdays are kept apart and weighted to the mix of the current window: where that is a whole
week nothing changes; where days are missing, a Monday is compared with Mondays.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from ml.drift.plan import DriftPlan, kind_of
from ml.drift.profile import NO_DAY, Loss, Profile
from ml.drift.sketch import (
    Sketch,
    merge,
    plan_column,
    plan_of,
    read_sketches,
    summarise_all,
    write_sketches,
)
from ml.drift.sums import Packed, WindowSums, niche_windows
from ml.drift.windows import WatchedColumn, Window

# Changed whenever older files cannot be read any more.
_FORM = 2
_USUAL = 0.25


@dataclass
class Reference:
    """Everything a report compares with.

    Attributes:
        label: for people.
        plan, loss: how rows are summed up.
        by_weekday: weekday -> sums; niches: niche -> weekday -> sums; packed, and unpacked when used.
        sketches: of each column but embeddings, for Evidently's own scores and the quality of the data.
        sample: some of the rows, for pictures.
    """

    label: str
    plan: DriftPlan
    loss: Loss
    by_weekday: dict[int, Packed]
    niches: dict[str, dict[int, Packed]]
    sketches: dict[str, Sketch]
    sample: pd.DataFrame
    _sums: dict[str, Profile] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        sample: Window,
        pieces: Iterable[Window],
        columns: tuple[WatchedColumn, ...],
        loss: Loss,
        *,
        sample_rows: int,
    ) -> Reference:
        """Sum a window up.

        Args:
            sample: some of its rows, evenly drawn, or all: bins are learnt from these.
            pieces: all of its rows.
            columns: which to watch.
            loss: what the model is judged by.
            sample_rows: rows kept for pictures.
        """
        rows = sample.rows
        plan = DriftPlan.learn(rows, columns)
        plans = {
            column.name: plan_column(rows[column.name], _sketched_as(rows[column.name]))
            for column in columns
            if column.name in rows and kind_of(rows[column.name]) != "embedding"
        }
        sums, sketches = WindowSums(plan, loss), summarise_all((), plans)
        for piece in pieces:
            for niche, part in {"": piece, **niche_windows(piece)}.items():
                for slot, profile in Profile.by_slot(plan, loss, part, _weekdays_of(part)).items():
                    sums.add(profile.without_errors(), niche, slot)
            found = summarise_all((piece.rows,), plans)
            sketches = {name: merge(sketches[name], found[name]) for name in plans}
        shown = rows if len(rows) <= sample_rows else rows.sample(n=sample_rows, random_state=0)
        parts: dict[str, dict[int, Packed]] = {}
        for (niche, weekday), packed in sums.pack().items():
            parts.setdefault(niche, {})[weekday] = packed
        return cls(
            label=sample.label,
            plan=plan,
            loss=loss,
            by_weekday=parts.pop("", {}),
            niches=parts,
            sketches=sketches,
            sample=shown.reset_index(drop=True),
        )

    def sketched(self, pieces: Iterable[pd.DataFrame]) -> dict[str, Sketch]:
        """The sketches of another window, by the plans of this one; an absent column is missing."""
        return summarise_all(pieces, {name: plan_of(sketch) for name, sketch in self.sketches.items()})

    @property
    def whole(self) -> Profile:
        """All rows, unweighted."""
        return self._whole("")

    def matched(self, current: Profile, niche: str = "") -> Profile:
        """The rows weighted to the weekdays of `current`; those of one niche where one is named."""
        parts = self._parts(niche)
        weights = _weekday_weights(parts, current)
        return self._sum(parts, weights) if weights else self._whole(niche)

    def _parts(self, niche: str) -> dict[int, Packed]:
        return self.niches.get(niche, {}) if niche else self.by_weekday

    def _whole(self, niche: str) -> Profile:
        if niche not in self._sums:
            self._sums[niche] = self._sum(self._parts(niche), {})
        return self._sums[niche]

    def _sum(self, parts: Mapping[int, Packed], weights: Mapping[int, float]) -> Profile:
        total = Profile.empty(self.plan, self.loss)
        for weekday, packed in parts.items():
            weight = weights.get(weekday, 1.0)
            if weight:
                total = total.plus(Profile.unpacked(self.plan, self.loss, packed), weight)
        return total

    def dump(self) -> bytes:
        """One file with everything, without pickles."""
        told: dict[str, Any] = {
            "form": _FORM,
            "label": self.label,
            "loss": self.loss,
            "plan": self.plan.as_json(),
            "niches": list(self.niches),
        }
        sample, sketches = io.BytesIO(), io.BytesIO()
        self.sample.to_parquet(sample)
        write_sketches(sketches, self.sketches)
        arrays = {
            "told": np.frombuffer(json.dumps(told).encode(), dtype="uint8"),
            "sample": np.frombuffer(sample.getvalue(), dtype="uint8"),
            "sketches": np.frombuffer(sketches.getvalue(), dtype="uint8"),
        }
        for place, parts in enumerate((self.by_weekday, *self.niches.values())):
            for weekday, packed in parts.items():
                for name, values in packed.items():
                    arrays[f"{place}/{weekday}/{name}"] = values
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @classmethod
    def load(cls, content: bytes) -> Reference | None:
        """Read what `dump` wrote; None where it was written by other code or is no such file."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                told = json.loads(file["told"].tobytes())
                if told["form"] != _FORM:
                    return None
                parts: dict[int, dict[int, Packed]] = {}
                for name in file.files:
                    if name.count("/") == 2:
                        place, weekday, array = name.split("/")
                        parts.setdefault(int(place), {}).setdefault(int(weekday), {})[array] = file[name]
                niches = {niche: parts.get(place, {}) for place, niche in enumerate(told["niches"], start=1)}
                return cls(
                    label=told["label"],
                    plan=DriftPlan.from_json(told["plan"]),
                    loss=told["loss"],
                    by_weekday=parts.get(0, {}),
                    niches=niches,
                    sketches=read_sketches(io.BytesIO(file["sketches"].tobytes())),
                    sample=pd.read_parquet(io.BytesIO(file["sample"].tobytes())),
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None


def _sketched_as(values: pd.Series) -> Literal["number", "category"]:
    return "number" if kind_of(values) == "number" else "category"


def _weekdays_of(window: Window) -> np.ndarray:
    if window.days is None:
        return np.full(len(window), NO_DAY)
    return _weekday(window.days.astype("int64"))


def _weekday(days: np.ndarray) -> np.ndarray:
    """0 is Monday; the first day of 1970 was a Thursday."""
    return np.asarray((days + 3) % 7)


def _weekday_weights(parts: Mapping[int, Packed], current: Profile) -> dict[int, float]:
    """Weights by which the parts get the current mix of weekdays; none where it is much the same."""
    if NO_DAY in parts or not current.days:
        return {}
    days = np.array(list(current.days))
    wanted = np.bincount(_weekday(days), weights=list(current.days.values()), minlength=7)
    there = np.array([parts[day]["days"][:, 1].sum() if day in parts else 0 for day in range(7)])
    shared = (wanted > 0) & (there > 0)
    if not shared.any():
        return {}
    share_wanted, share_there = wanted / wanted[shared].sum(), there / there[shared].sum()
    weights = {day: float(share_wanted[day] / share_there[day]) if shared[day] else 0.0 for day in range(7)}
    # In a whole week weekdays differ by chance only, and weights would add that chance to the reference.
    usual = all(abs(weights[day] - 1) <= _USUAL for day in parts)
    return {} if usual else weights
