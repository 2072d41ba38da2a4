"""Days of an ad platform with a known truth: what drift detectors are measured on.

A row is one ad's day on one device and placement. Ads live ten days, a tenth of them is replaced each
day, and several rows of a day belong to one ad, several ads to one account: rows are no independent
evidence. Each ad has an effect of its own on the log-odds of a click (standard deviation 0.12) that no
column tells. `predicted` is what a champion says that learnt the old world perfectly, with a little
noise: right on average on quiet days, blind to the ads' own effects and to whatever changes.

    for day in Stream("concept_sudden", rows_per_day=1000, seed=1).days(60): ...

Kinds:
    quiet: nothing ever changes.
    quiet_seasonal: weekends have fewer rows, another mix of devices and placements, and more clicks; the
        champion knows.
    quiet_yearly: the level of click rates moves slowly over the year; the champion knows.
    covariate: from the first day of drift on, mixes of devices and placements, prices and frequencies
        shift, and new ads have other hooks and budgets; clicks given the columns stay.
    covariate_unimportant: columns that no click depends on shift.
    prior: every click rate is 1.3 times what it was.
    concept_sudden: what each hook does to clicks turns round.
    concept_gradual: the same, a fourteenth more each day.
    concept_recurring: the same for seven days, then fourteen as before, and again.
    broken_column: `budget` is missing throughout, and the champion puts its mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

import numpy as np
import pandas as pd

Kind = Literal[
    "quiet",
    "quiet_seasonal",
    "quiet_yearly",
    "covariate",
    "covariate_unimportant",
    "prior",
    "concept_sudden",
    "concept_gradual",
    "concept_recurring",
    "broken_column",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
QUIET: tuple[Kind, ...] = ("quiet", "quiet_seasonal", "quiet_yearly")

NUMBERS = (
    "budget",
    "video_seconds",
    "text_length",
    "age_days",
    "price",
    "frequency",
    "loudness",
    "screen_ratio",
)
CATEGORIES = ("hook", "device", "placement", "tone")
COLUMNS = NUMBERS + CATEGORIES
UNIMPORTANT = ("loudness", "screen_ratio", "tone", "text_length")

_HOOKS = np.array(["question", "number", "story", "offer", "fear"])
_HOOK_EFFECTS = np.array([0.45, 0.2, 0.0, -0.2, -0.45])
_HOOK_MIX = np.array([0.2, 0.2, 0.2, 0.2, 0.2])
_NEW_HOOK_MIX = np.array([0.35, 0.3, 0.15, 0.1, 0.1])
_DEVICES = np.array(["phone", "tablet", "desktop"])
_DEVICE_EFFECTS = np.array([0.1, 0.0, -0.3])
_DEVICE_MIX = np.array([0.7, 0.1, 0.2])
_OTHER_DEVICE_MIX = np.array([0.5, 0.15, 0.35])
_PLACEMENTS = np.array(["feed", "stories", "reels", "search"])
_PLACEMENT_EFFECTS = np.array([0.0, 0.2, 0.3, -0.2])
_PLACEMENT_MIX = np.array([0.4, 0.25, 0.2, 0.15])
_OTHER_PLACEMENT_MIX = np.array([0.25, 0.25, 0.4, 0.1])
_TONES = np.array(["calm", "loud", "funny", "warm", "dry", "odd"])
_TONE_MIX = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
_OTHER_TONE_MIX = np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.2])
_NICHES = np.array(["fitness", "pets", "travel", "finance", "beauty"])
_NICHE_EFFECTS = np.array([0.0, 0.3, 0.1, -0.4, 0.2])

_BASE = -4.2
_AD_SPREAD = 0.12
_CHAMPION_NOISE = 0.03
_LIFE_DAYS = 10
_ROWS_PER_AD = 3
_ADS_PER_ACCOUNT = 8
_WEEKEND_ROWS, _WEEKEND_EFFECT = 0.7, 0.15
_YEARLY_EFFECT = 0.25
_PRIOR_FACTOR = 1.3
_GRADUAL_DAYS, _ON_DAYS, _OFF_DAYS = 14, 7, 14


@dataclass(frozen=True)
class Stream:
    """One synthetic platform; the same numbers for the same attributes.

    Attributes:
        kind: what changes. rows_per_day: on a usual day. seed: of everything random. drift_start: the
        first day, from 0, on which anything is different; without meaning for quiet kinds.
        first_date: the date of day 0.
    """

    kind: Kind
    rows_per_day: int
    seed: int = 0
    drift_start: int = 35
    first_date: date = date(2026, 1, 5)

    def drifting(self, day: int) -> float:
        """How much of the change is there on a day, 0 to 1."""
        since = day - self.drift_start
        if self.kind in QUIET or since < 0:
            return 0.0
        if self.kind == "concept_gradual":
            return min(1.0, (since + 1) / _GRADUAL_DAYS)
        if self.kind == "concept_recurring":
            return float(since % (_ON_DAYS + _OFF_DAYS) < _ON_DAYS)
        return 1.0

    def days(self, count: int) -> Iterator[pd.DataFrame]:
        """The first `count` days, one table each.

        Columns: `COLUMNS`; `clicks` and `impressions`, integers; `predicted`, the champion's click rate;
            `ad` and `account`, integers; `niche`; `date`.
        """
        random = np.random.default_rng([self.seed, KINDS.index(self.kind), self.rows_per_day])
        ads = _Ads(random, max(8, self.rows_per_day // _ROWS_PER_AD))
        for day in range(count):
            amount = self.drifting(day)
            hooks = _HOOK_MIX, 0.0
            if self.kind == "covariate" and amount:
                hooks = _NEW_HOOK_MIX, 0.5
            ads.next_day(random, day, *hooks)
            yield self._rows(random, ads, day, amount)

    def _rows(self, random: np.random.Generator, ads: _Ads, day: int, amount: float) -> pd.DataFrame:
        today = self.first_date + timedelta(days=day)
        weekend = self.kind == "quiet_seasonal" and today.weekday() >= 5
        moved = self.kind == "covariate" and amount > 0
        aside = self.kind == "covariate_unimportant" and amount > 0
        rows = round(self.rows_per_day * (_WEEKEND_ROWS if weekend else 1.0))
        which = random.integers(len(ads.ad), size=rows)
        device = _drawn(random, _OTHER_DEVICE_MIX if weekend or moved else _DEVICE_MIX, rows)
        placement = _drawn(random, _OTHER_PLACEMENT_MIX if weekend or moved else _PLACEMENT_MIX, rows)
        tone = _drawn(random, _OTHER_TONE_MIX if aside else _TONE_MIX, rows)
        price = random.gamma(4.0, 2.5 if moved else 2.0, rows)
        frequency = 1 + random.exponential(0.8 if moved else 0.5, rows)
        hook, niche = ads.hook[which], ads.niche[which]
        age = np.minimum(day - ads.born[which], _LIFE_DAYS).astype(np.float64)
        level = _BASE + _WEEKEND_EFFECT * weekend
        if self.kind == "quiet_yearly":
            level += _YEARLY_EFFECT * np.sin(2 * np.pi * day / 365)
        of_budget = 0.25 * ads.budget_effect[which]
        known = (
            level
            + _HOOK_EFFECTS[hook]
            + _DEVICE_EFFECTS[device]
            + _PLACEMENT_EFFECTS[placement]
            + _NICHE_EFFECTS[niche]
            + 0.2 * (ads.video_seconds[which] > 0)
            - 0.03 * age
            - 0.3 * np.log(frequency)
            - 0.02 * (price - 8)
        )
        truth = known + of_budget + ads.effect[which]
        if self.kind.startswith("concept"):
            truth -= 2 * amount * _HOOK_EFFECTS[hook]
        rate = _sigmoid(truth) * (_PRIOR_FACTOR if self.kind == "prior" and amount else 1.0)
        broken = self.kind == "broken_column" and amount > 0
        noise = random.normal(0, _CHAMPION_NOISE, rows)
        # So that the champion is right on average: rates are nearly exponential in the log-odds.
        unseen = (_AD_SPREAD**2 - _CHAMPION_NOISE**2) / 2
        predicted = _sigmoid(known + (0.0 if broken else of_budget) + noise + unseen)
        impressions = 1 + random.geometric(1 / 400, rows)
        return pd.DataFrame(
            {
                "budget": np.nan if broken else ads.budget[which],
                "video_seconds": ads.video_seconds[which],
                "text_length": ads.text_length[which],
                "age_days": age,
                "price": price,
                "frequency": frequency,
                "loudness": random.normal(0.5 if aside else 0.0, 1.0, rows),
                "screen_ratio": random.beta(2, 4 if aside else 2, rows),
                "hook": pd.Categorical.from_codes(hook, _HOOKS),
                "device": pd.Categorical.from_codes(device, _DEVICES),
                "placement": pd.Categorical.from_codes(placement, _PLACEMENTS),
                "tone": pd.Categorical.from_codes(tone, _TONES),
                "clicks": random.binomial(impressions, np.minimum(rate, 1.0)),
                "impressions": impressions,
                "predicted": predicted,
                "ad": ads.ad[which],
                "account": ads.account[which],
                "niche": pd.Categorical.from_codes(niche, _NICHES),
                "date": np.datetime64(today, "s"),
            }
        )


class _Ads:
    """The ads alive today, one a slot; slots belong to accounts, and an account to a niche."""

    def __init__(self, random: np.random.Generator, slots: int) -> None:
        self._phase = random.integers(_LIFE_DAYS, size=slots)
        accounts = max(4, slots // _ADS_PER_ACCOUNT)
        self.account = random.integers(accounts, size=slots)
        self.niche = random.integers(len(_NICHES), size=accounts)[self.account]
        self._next = 0
        self.ad, self.hook, self.born = (np.zeros(slots, np.int64) for _ in range(3))
        self.budget, self.budget_effect, self.effect = (np.zeros(slots) for _ in range(3))
        self.video_seconds, self.text_length = (np.zeros(slots) for _ in range(2))

    def next_day(
        self, random: np.random.Generator, day: int, hook_mix: np.ndarray, budget_shift: float
    ) -> None:
        """Replace the ads whose time is over; on day 0 all begin, at every age."""
        new = np.flatnonzero((day + self._phase) % _LIFE_DAYS == 0) if day else np.arange(len(self.ad))
        count = len(new)
        self.ad[new] = self._next + np.arange(count)
        self._next += count
        self.born[new] = day if day else -self._phase
        self.hook[new] = _drawn(random, hook_mix, count)
        size = random.normal(budget_shift, 1, count)
        self.budget[new] = np.round(50 * np.exp(0.8 * size), 2)
        self.budget_effect[new] = size
        self.video_seconds[new] = np.where(
            random.random(count) < 0.4, 0.0, random.gamma(3, 7, count).round(1)
        )
        self.text_length[new] = random.poisson(90, count)
        self.effect[new] = random.normal(0, _AD_SPREAD, count)


def _drawn(random: np.random.Generator, mix: np.ndarray, count: int) -> np.ndarray:
    """(count,) level numbers by a mix that sums to 1."""
    return np.searchsorted(np.cumsum(mix)[:-1], random.random(count), side="right")


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))
