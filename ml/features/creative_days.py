"""What a creative would have got by when and how it ran: season, weekday, age, wear, not what is in it.

A Poisson model of the ad-days with an effect of its own for each creative, so that whatever creatives
differ in cannot pass for a season, nor the season for what they differ in. Its other coefficients turn
impressions into expected outcomes; observed over expected is then one figure per creative, however many
ads and days it ran. A steady trend over the weeks cannot be told from wear by this model; the next one
has the date for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from ml.errors import PermanentModelError
from ml.features.creative_settings import CreativeEffectSettings

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEEDED = (
    "account_id",
    "creative_id",
    "ad_id",
    "niche",
    "day",
    "launched_on",
    "impressions",
    "spend",
    "reach",
)
# Prior standard deviation of how a niche's week differs from everybody's, and of all other coefficients.
_NICHE_WEEK_SD, _OTHER_SD = 0.2, 3.0
_STEPS, _CLOSE = 25, 1e-6
# How often an average person has seen an ad, beyond which it counts as this often.
_MOST_SEEN = 20.0
# Days of usual impressions that make up one view a head where reach is unknown: about what ads have.
_DAYS_A_VIEW = 10.0


class CreativeDataUnusable(PermanentModelError, ValueError):
    """Ad-days or creatives that effects cannot be estimated from; the message names the column."""


@dataclass(frozen=True)
class CreativeOutcomes:
    """One row per creative that was shown, sorted by account and creative.

    Attributes:
        creatives: account_id, creative_id, niche.
        observed: clicks or conversions.
        expected: what the account's average creative would have had.
        dispersion: variance of a day's count over its mean, at least 1.
        budget: logarithm of what its ads spent a day in their first days, together.
        live: day in the middle of its impressions, in years since the first day of all.
    """

    creatives: pl.DataFrame
    observed: Floats
    expected: Floats
    dispersion: float
    budget: Floats
    live: Floats


def creative_outcomes(
    ad_days: pl.DataFrame, outcome: str, settings: CreativeEffectSettings
) -> CreativeOutcomes | None:
    """Sum ad-days up to creatives, with what each was to be expected to get.

    Args:
        ad_days: one row per ad and day: `NEEDED` (spend in any currency of the account, reach null where
            unknown, launched_on null where unknown: then the first day counts), and the outcome.
        outcome: `clicks` or `conversions`.

    Returns:
        None where nothing was shown.

    Raises:
        CreativeDataUnusable: a column is absent, or a count is missing or negative.
    """
    _check(ad_days, outcome)
    shown_days = ad_days.filter(pl.col("impressions") > 0)
    if not len(shown_days):
        return None
    days = _prepared(shown_days, outcome)
    keys = days.select("account_id", "creative_id", "niche").unique(maintain_order=True)
    creative = days["creative"].to_numpy().astype(np.int64)
    shown = days["impressions"].to_numpy().astype(float)
    counted = days[outcome].to_numpy().astype(float)
    expected, dispersion = _expected(days, creative, shown, counted)
    per_creative = np.bincount(creative, expected, len(keys))
    observed = np.bincount(creative, counted, len(keys)).astype(float)
    account = keys["account_id"].rle_id().to_numpy()
    rate = np.bincount(account, observed) / np.maximum(np.bincount(account, per_creative), 1e-12)
    when = days["when"].to_numpy()
    return CreativeOutcomes(
        creatives=keys,
        observed=observed,
        expected=per_creative * rate[account],
        dispersion=dispersion,
        budget=_early_budget(days, len(keys), settings.early_budget_days),
        live=np.bincount(creative, when * shown, len(keys))
        / np.bincount(creative, shown, len(keys))
        / 365.25,
    )


def _check(ad_days: pl.DataFrame, outcome: str) -> None:
    for name in (*NEEDED, outcome):
        if name not in ad_days.columns:
            raise CreativeDataUnusable(
                f"ad-days have no column '{name}': they need {', '.join((*NEEDED, outcome))}"
            )
    for name in ("impressions", "spend", outcome):
        if ad_days[name].null_count() or (ad_days[name] < 0).any():
            raise CreativeDataUnusable(
                f"{name} of an ad-day is missing or negative: give numbers of 0 or more"
            )


def _prepared(ad_days: pl.DataFrame, outcome: str) -> pl.DataFrame:
    """Sorted, with numbers of the creative and the ad, and what the model goes by."""
    ad = ["account_id", "ad_id"]
    days = ad_days.select(*NEEDED, outcome).sort("account_id", "creative_id", "ad_id", "day")
    first = days["day"].min()
    return days.with_columns(
        creative=pl.struct("account_id", "creative_id").rle_id(),
        ad=pl.struct("account_id", "creative_id", "ad_id").rle_id(),
        when=(pl.col("day") - pl.lit(first)).dt.total_days().cast(pl.Float64),
        age=(pl.col("day") - pl.min_horizontal(pl.col("launched_on"), pl.col("day").min().over(ad)))
        .dt.total_days()
        .clip(0),
        before=(pl.col("impressions").cum_sum() - pl.col("impressions")).over(ad).cast(pl.Float64),
        audience=_audience(pl.col("impressions"), pl.col("reach")).median().over(ad),
        usual=pl.col("impressions").mean().over(ad),
    )


def _audience(impressions: pl.Expr, reach: pl.Expr) -> pl.Expr:
    """How many people an ad can reach, from how many of a day's impressions went to people once more.

    Impressions that fall on an audience at random, x a head, reach a share of 1 - exp(-x) of it. Null
    where the day's reach is unknown, or so close to its impressions that the audience may be of any
    size.
    """
    x = np.geomspace(1e-3, 50, 400)
    repeated = 1 + np.expm1(-x) / x
    share = 1 - reach.cast(pl.Float64) / impressions
    a_head = share.map_batches(
        lambda told: pl.Series(np.interp(told.fill_null(np.nan).to_numpy(), repeated, x)),
        return_dtype=pl.Float64,
    )
    return pl.when(share.is_between(repeated[0], repeated[-1])).then(impressions / a_head)


def _expected(days: pl.DataFrame, creative: Ints, shown: Floats, counted: Floats) -> tuple[Floats, float]:
    """Expected outcomes of each ad-day but for its creative's own effect, and the dispersion."""
    Z, precision = _nuisances(days)
    count = int(creative.max()) + 1
    total = np.bincount(creative, counted, count)
    group = sparse.csr_matrix(
        (np.ones(len(creative)), (creative, np.arange(len(creative)))), (count, len(creative))
    )
    theta = np.zeros(Z.shape[1])
    mean = np.zeros(len(creative))
    for _ in range(_STEPS):
        weight = shown * np.exp(Z @ theta)
        mean = weight * (total / np.maximum(np.bincount(creative, weight, count), 1e-300))[creative]
        weighted = Z.multiply(mean[:, None]).tocsr()
        inside = (group @ weighted).toarray()
        hessian = (Z.T @ weighted).toarray() - inside.T @ (inside / np.maximum(total, 1e-12)[:, None])
        gradient = Z.T @ (counted - mean) - precision * theta
        step = np.linalg.solve(hessian + np.diag(precision), gradient)
        theta = theta + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < _CLOSE:
            break
    freedom = max(len(creative) - count - Z.shape[1], 1)
    # By groups, as counts of single days may be too small for Pearson's statistic.
    dispersion = float((((counted - mean) ** 2)[mean > 0] / mean[mean > 0]).sum() / freedom)
    return np.asarray(shown * np.exp(Z @ theta)), max(dispersion, 1.0)


def _nuisances(days: pl.DataFrame) -> tuple[sparse.csr_matrix, Floats]:
    """Columns of the model but for the creatives' effects, and the precision of their priors."""
    rows = np.arange(len(days))
    week = (days["when"].to_numpy() // 7).astype(np.int64)
    niche = days["niche"].fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    _, niche_week = np.unique(niche * (week.max() + 1) + week, return_inverse=True)
    dummies = [
        sparse.csr_matrix((np.ones(len(days)), (rows, of)), (len(days), int(of.max()) + 1))
        for of in (days["day"].dt.weekday().to_numpy().astype(np.int64) - 1, week, niche_week)
    ]
    usual = np.maximum(days["usual"].to_numpy(), 1.0)
    audience = days["audience"].fill_null(np.nan).to_numpy()
    seen = days["before"].to_numpy() / np.where(audience > 0, audience, _DAYS_A_VIEW * usual)
    seen = np.clip(seen, 0, _MOST_SEEN)
    numbers = np.stack(
        [
            np.log1p(days["age"].to_numpy().astype(float)),
            seen,
            np.log1p(seen),
            np.log(np.maximum(days["impressions"].to_numpy(), 1.0) / usual),
        ],
        axis=1,
    )
    Z = sparse.hstack([*dummies, sparse.csr_matrix(numbers)]).tocsr()
    widths = [dummy.shape[1] for dummy in dummies]
    sd = np.repeat([_OTHER_SD, _OTHER_SD, _NICHE_WEEK_SD, _OTHER_SD], [*widths, numbers.shape[1]])
    return Z, 1 / sd**2


def _early_budget(days: pl.DataFrame, count: int, first_days: int) -> Floats:
    """Log of the spend per day of each creative's ads in the first days after each one's first day."""
    begun = pl.col("day").min().over("ad")
    early = days.filter((pl.col("day") - begun).dt.total_days() < first_days)
    per_ad = early.group_by("creative", "ad").agg(a_day=pl.col("spend").cast(pl.Float64).sum() / pl.len())
    per_creative = per_ad.group_by("creative").agg(pl.col("a_day").mean()).sort("creative")
    budget = np.zeros(count)
    budget[per_creative["creative"].to_numpy()] = per_creative["a_day"].to_numpy()
    return np.log(np.maximum(budget, 0.01))
