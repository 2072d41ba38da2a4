"""A world in which some of what is in the picture sells, some repels, and some only seems to.

An option of its own: it takes accounts, creatives and ads from the catalogue of a `WorldConfig`, whose
draws stay as they are, gives every creative figures as a video's analysis would measure them, and lives
through the days anew. What makes it hard is planted on purpose, and told by `PictureTruth`:

| trap | how |
| --- | --- |
| correlation | fast cuts, motion and an early first cut come together; so do loudness and speech |
| effects in few niches | a feature may work in a third of the niches, or the other way round in some |
| u-shapes | the middle of a feature may win against both ends |
| budget | creatives with faces get more money, and more money finds people who click less |
| season | pictures become brighter with time, and clicks come in waves, each niche its own |
| accounts | accounts with much text are accounts that are clicked less for other reasons |
| placement | motion goes to reels, which are clicked differently |
| wear | an ad is clicked less by those who have seen it |
| chance | each ad differs by a draw of its own, each day by another: days are no independent evidence |

Features that are not drawn to work have no effect anywhere: a finding on them is a false one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.simulator import truth
from include.simulator.catalogue import Catalogue, build_catalogue
from include.simulator.config import WorldConfig
from include.simulator.draws import stream
from include.simulator.vocabulary import NICHES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Name: value at the mean, spread, lowest and highest possible value.
PICTURES: dict[str, tuple[float, float, float, float]] = {
    "pacing": (27.0, 9.0, 0.0, 120.0),
    "first_cut_s": (2.0, 0.45, 0.1, 20.0),
    "motion": (0.45, 0.14, 0.0, 1.0),
    "brightness": (0.52, 0.12, 0.0, 1.0),
    "contrast": (0.40, 0.10, 0.0, 1.0),
    "colourfulness": (0.45, 0.13, 0.0, 1.0),
    "text_area": (0.18, 0.07, 0.0, 1.0),
    "face_share": (0.35, 0.13, 0.0, 1.0),
    "loudness": (-18.0, 3.5, -45.0, 0.0),
    "speech_early": (0.50, 0.16, 0.0, 1.0),
}  # fmt: skip
# Of which ratios matter: value is the mean times exp of the draw.
RATIOS = ("first_cut_s",)
_NAMES = tuple(PICTURES)
# What they have in common with three hidden styles: speed, gloss and talk.
_STYLES = np.array(
    [
        [0.75, -0.70, 0.70, 0.0, 0.0, 0.1, 0.2, -0.1, 0.3, 0.0],
        [0.0, 0.0, 0.1, 0.6, 0.65, 0.55, -0.2, 0.0, 0.0, 0.0],
        [-0.1, 0.1, 0.0, 0.0, 0.0, 0.0, -0.35, 0.55, 0.6, 0.65],
    ]
)
SHARE_STRAIGHT, SHARE_HUMP = 0.4, 0.2
SIZE = (0.04, 0.10)
NICHE_SD = 0.02
SHARE_EVERYWHERE = 0.5
DAY_SD = 0.08
BUDGET_EFFECT = -0.06
REELS_EFFECT = -0.25
SEASON = 0.15
ACCOUNT_SD = 0.25


@dataclass(frozen=True)
class PictureTruth:
    """What is true of the features.

    Attributes:
        straight: niche and feature -> change of log-odds a standard deviation of the feature.
        hump: likewise of half the squared distance from the mean, less one half.
    """

    straight: pd.DataFrame
    hump: pd.DataFrame

    def log_odds(self, niche: npt.NDArray[np.str_], values: pd.DataFrame, feature: str) -> Floats:
        """What one feature adds to the log-odds of each creative."""
        z = standardised(feature, values[feature].to_numpy(float))
        a, b = (table[feature].loc[list(niche)].to_numpy(float) for table in (self.straight, self.hump))
        return np.asarray(a * z + b * (z**2 - 1) / 2)


@dataclass(frozen=True)
class PictureWorld:
    """Creatives with what is in them, and what their ads did.

    Attributes:
        catalogue: accounts, campaigns, creatives and ads, as in `SimulatedWorld`.
        pictures: account_id, creative_id and a column per feature of `PICTURES`.
        reels_share: of the impressions of each creative, in the order of `pictures`; the rest is in
            feeds.
        ad_days: account_id, niche, creative_id, ad_id, day (datetime64), launched_on, impressions,
            clicks, conversions, spend (dollars), reach.
        truth: what is true of `pictures`.
    """

    catalogue: Catalogue
    pictures: pd.DataFrame
    reels_share: Floats
    ad_days: pd.DataFrame
    truth: PictureTruth

    @classmethod
    def generate(cls, config: WorldConfig) -> PictureWorld:
        """The world of a configuration, always the same one. Drift is not looked at."""
        catalogue = build_catalogue(config)
        planted = _plant(config)
        pictures, of_account = _pictures(config, catalogue)
        reels = _reels(config, pictures)
        ad_days = _live(config, catalogue, pictures, reels, planted, of_account)
        return cls(catalogue, pictures, reels, ad_days, planted)


def standardised(feature: str, values: Floats) -> Floats:
    """Values in standard deviations from the feature's mean."""
    mean, spread, _, _ = PICTURES[feature]
    if feature in RATIOS:
        return np.asarray(np.log1p(values) - np.log1p(mean)) / (spread * mean / (1 + mean))
    return np.asarray((values - mean) / spread)


def _plant(config: WorldConfig) -> PictureTruth:
    draw = stream(config.seed, "picture_effects")
    order = draw.permutation(len(_NAMES))
    straight = np.zeros((len(NICHES), len(_NAMES)))
    hump = np.zeros_like(straight)
    first, second = round(SHARE_STRAIGHT * len(_NAMES)), round(SHARE_HUMP * len(_NAMES))
    for nth, feature in enumerate(order):
        size = draw.uniform(*SIZE) * draw.choice([-1.0, 1.0])
        own = NICHE_SD * draw.standard_normal(len(NICHES))
        everywhere = draw.random() < SHARE_EVERYWHERE
        third = draw.random(len(NICHES)) < 1 / 3
        works = np.ones(len(NICHES), dtype=bool) if everywhere else third
        effect = np.where(works, size + own, 0.0)
        if nth < first:
            straight[:, feature] = effect
        elif nth < first + second:
            hump[:, feature] = effect
    frames = (pd.DataFrame(table, index=list(NICHES), columns=list(_NAMES)) for table in (straight, hump))
    return PictureTruth(*frames)


def _pictures(config: WorldConfig, catalogue: Catalogue) -> tuple[pd.DataFrame, Floats]:
    """What is in each creative, and what of an account's click rate goes with its text."""
    creatives = catalogue.creatives
    first = catalogue.ads.drop_duplicates("creative_id")
    draw = stream(config.seed, "pictures")
    # Creatives in the order of accounts, each account with a stream's numbers of its own place.
    styles = draw.standard_normal((len(creatives), len(_STYLES)))
    alone = draw.standard_normal((len(creatives), len(_NAMES)))
    z = styles @ _STYLES + alone * np.sqrt(np.maximum(1 - (_STYLES**2).sum(axis=0), 0.05))
    of_account = stream(config.seed, "picture_accounts").standard_normal(len(catalogue.accounts))
    account = first["account_number"].to_numpy()
    z[:, _NAMES.index("text_area")] -= 0.8 * of_account[account]
    launched = (first["launched_on"].to_numpy() - np.datetime64(config.start)) / np.timedelta64(1, "D")
    z[:, _NAMES.index("brightness")] += 1.2 * (launched / max(config.days, 1) - 0.5)
    columns: dict[str, npt.NDArray] = {
        "account_id": creatives["account_id"].to_numpy(),
        "creative_id": creatives["creative_id"].to_numpy(),
    }
    for nth, (name, (mean, spread, low, high)) in enumerate(PICTURES.items()):
        raw = mean * np.exp(spread * z[:, nth]) if name in RATIOS else mean + spread * z[:, nth]
        columns[name] = np.clip(raw, low, high).round(4)
    return pd.DataFrame(columns), ACCOUNT_SD * of_account


def _reels(config: WorldConfig, pictures: pd.DataFrame) -> Floats:
    z = standardised("motion", pictures["motion"].to_numpy(float))
    chance = stream(config.seed, "picture_places").standard_normal(len(pictures))
    return truth.logistic(0.8 * z - 0.5 + 0.5 * chance)


def _live(
    config: WorldConfig,
    catalogue: Catalogue,
    pictures: pd.DataFrame,
    reels: Floats,
    planted: PictureTruth,
    of_account: Floats,
) -> pd.DataFrame:
    ads = catalogue.ads
    number = pd.Series(np.arange(len(pictures)), index=pictures["creative_id"])
    creative = number.loc[ads["creative_id"]].to_numpy()
    niche = ads["niche"].to_numpy(str)
    shown = pictures.iloc[creative].reset_index(drop=True)
    z = {name: standardised(name, shown[name].to_numpy(float)) for name in _NAMES}
    budget = ads["ad_budget"].to_numpy() * np.exp(0.5 * z["face_share"])
    constant = (
        truth.ad_log_odds(ads)
        + ads["hook_type"].map(truth.HOOK).to_numpy(float)
        + sum(planted.log_odds(niche, shown, name) for name in _NAMES)
        + of_account[ads["account_number"].to_numpy()]
        + BUDGET_EFFECT * (np.log(budget) - np.log(ads["daily_budget"].to_numpy()))
        + REELS_EFFECT * reels[creative]
    )
    launched = (
        (ads["launched_on"].to_numpy() - np.datetime64(config.start)) // np.timedelta64(1, "D")
    ).astype(int)
    lived = np.minimum(ads["life_days"].to_numpy(), config.days - launched)
    ad = np.repeat(np.arange(len(ads)), lived)
    age = np.arange(len(ad)) - np.repeat(np.cumsum(lived) - lived, lived)
    day = age + launched[ad]

    of_niche = np.array([truth.NICHE[name] for name in niche])[ad]
    noise = stream(config.seed, "picture_days").standard_normal((len(ad), 3))
    cpm = of_niche[:, 1] * ads["cpm_factor"].to_numpy()[ad] * np.exp(0.08 * noise[:, 0])
    impressions = np.maximum(1, np.round(budget[ad] * np.exp(0.15 * noise[:, 1]) / cpm * 1000)).astype(
        np.int64
    )
    audience = ads["audience"].to_numpy()[ad]
    before = pd.Series(impressions).groupby(ad).cumsum().to_numpy() - impressions
    log_odds = (
        constant[ad]
        + truth.FATIGUE * before / audience
        + np.array(truth.WEEKDAY)[(day + config.start.weekday()) % 7]
        + _season(config, niche)[ad, day]
        + DAY_SD * noise[:, 2]
    )
    clicks = stream(config.seed, "picture_clicks").binomial(impressions, truth.logistic(log_odds))
    conversions = stream(config.seed, "picture_sales").binomial(clicks, of_niche[:, 2])
    return pd.DataFrame(
        {
            "account_id": ads["account_id"].to_numpy()[ad],
            "niche": niche[ad],
            "creative_id": ads["creative_id"].to_numpy()[ad],
            "ad_id": ads["ad_id"].to_numpy()[ad],
            "day": np.datetime64(config.start, "s") + day.astype("timedelta64[D]"),
            "launched_on": ads["launched_on"].to_numpy()[ad].astype("datetime64[s]"),
            "impressions": impressions,
            "clicks": clicks,
            "conversions": conversions,
            "spend": np.round(impressions * cpm / 10) / 100,
            "reach": np.maximum(1, np.round(audience * -np.expm1(-impressions / audience))).astype(np.int64),
        }
    )


def _season(config: WorldConfig, niche: npt.NDArray[np.str_]) -> Floats:
    """Shape (ads, days): a wave of the whole platform, one of the niche, and a drift upwards."""
    draw = stream(config.seed, "picture_season")
    phase = draw.uniform(0, 2 * np.pi, len(NICHES) + 1)
    days = np.arange(config.days)
    shared = np.sin(2 * np.pi * days / 75 + phase[-1]) + days / max(config.days, 1)
    waves = SEASON * (shared[None, :] + 0.5 * np.sin(2 * np.pi * days / 40 + phase[:-1, None]))
    position = np.array([NICHES.index(name) for name in niche])
    return np.asarray(waves[position])
