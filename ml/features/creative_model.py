"""A regression in each niche, with what is found in the others as its prior, in closed form.

Each creative is one row: log of observed over expected outcomes, whose variance is that of counting plus
what no feature explains. Accounts have a level of their own. In niche n the coefficients are drawn
around common ones: beta_n ~ N(mu, diag(T)). `mu` follows by generalised least squares, T and the
unexplained variance by restricted maximum likelihood (with the updates of Zhou, Hu, Qiao, Cho and Zhou
2019, "MM algorithms for variance components models", which cannot leave the positive numbers).
Everything is done on the niches' cross-products, so the cost grows with the number of creatives only
linearly.

A niche's prior is always made without that niche. So what a niche says alone (`Niche.alone`) is
independent of what the others say, which is what weighting its tests by them needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_STEPS, _CLOSE = 60, 0.01
_FIRST_UNEXPLAINED, _FIRST_SPREAD = 0.15**2, 0.03**2
# Of the common coefficients, in log outcomes a standard deviation of a column: wide, of no weight in data.
_WIDE = 1.0
_SMALLEST = 1e-10


@dataclass(frozen=True)
class Niche:
    """What one niche's creatives say.

    Attributes:
        gram, moment: cross-products of the columns, and of the columns with the outcome.
        prior_mean, prior_cov: of its coefficients, by the other niches.
        mean, cov: of its coefficients, given both.
    """

    gram: Floats
    moment: Floats
    prior_mean: Floats
    prior_cov: Floats
    mean: Floats
    cov: Floats

    def alone(self, columns: Ints, weights: Floats) -> tuple[Floats, Floats]:
        """Weighted sums of a block's coefficients, nothing assumed of these, and their standard errors.

        The other columns keep their prior: what is known of them elsewhere serves to hold them fixed
        here.

        Args:
            columns: positions of the block.
            weights: shape (sums, columns of the block).
        """
        others = np.setdiff1d(np.arange(len(self.moment)), columns)
        conditional = np.linalg.inv(self.prior_cov[np.ix_(others, others)])
        precision, shift = self.gram.copy(), self.moment.copy()
        precision[np.ix_(others, others)] += conditional
        shift[others] += conditional @ self.prior_mean[others]
        inverse = np.linalg.pinv(precision, rcond=1e-10, hermitian=True)
        block = np.asarray(inverse[np.ix_(columns, columns)], dtype=np.float64)
        return weights @ (inverse @ shift)[columns], _errors(weights, block)

    def together(self, columns: Ints, weights: Floats) -> tuple[Floats, Floats]:
        """The same sums, given this niche and the others, and their standard errors."""
        return weights @ self.mean[columns], _errors(weights, self.cov[np.ix_(columns, columns)])

    def elsewhere(self, columns: Ints, weights: Floats) -> tuple[Floats, Floats]:
        """The same sums, as the other niches have one expect them, and how far they may be off."""
        return weights @ self.prior_mean[columns], _errors(weights, self.prior_cov[np.ix_(columns, columns)])


@dataclass(frozen=True)
class NicheFit:
    """The model.

    Attributes:
        niches: in the order of their numbers.
        mean, cov: of the common coefficients.
        spread: variance of each coefficient between niches.
        unexplained: variance between creatives that no column explains.
        residual: shape (creatives,) of log outcomes less the account's level and the columns.
        weight: shape (creatives,), of a row.
        within: shape (creatives, columns), less the account's weighted mean.
    """

    niches: tuple[Niche, ...]
    mean: Floats
    cov: Floats
    spread: Floats
    unexplained: float
    residual: Floats
    weight: Floats
    within: Floats

    def everywhere(self, columns: Ints, weights: Floats) -> tuple[Floats, Floats]:
        """Weighted sums of common coefficients, and their standard errors."""
        return weights @ self.mean[columns], _errors(weights, self.cov[np.ix_(columns, columns)])


def fit_niches(y: Floats, counting: Floats, X: Floats, account: Ints, niche: Ints, tied: Ints) -> NicheFit:
    """Fit the model.

    Args:
        y: shape (creatives,), log of observed over expected outcomes.
        counting: variance of each that is due to counting alone.
        X: shape (creatives, columns), standardised.
        account, niche: numbers from 0 on; an account lies in one niche.
        tied: shape (columns,), number of the group of columns that share one spread between niches.
    """
    unexplained = _FIRST_UNEXPLAINED
    spread = np.full(X.shape[1], _FIRST_SPREAD)
    rows = [np.flatnonzero(niche == number) for number in range(int(niche.max()) + 1)]
    for _ in range(_STEPS):
        weighted = _Weighted.of(y, counting + unexplained, X, account, rows)
        common = _Common.of(weighted, spread)
        new_spread = _spread(weighted, common, spread, tied)
        niches = _niches(weighted, common, new_spread)
        new_unexplained = _unexplained(weighted, niches, account, rows, unexplained)
        moved = max(
            abs(np.log(new_unexplained / unexplained)),
            float(np.abs(new_spread - spread).max() / max(spread.max(), _SMALLEST)),
        )
        spread, unexplained = new_spread, new_unexplained
        if moved < _CLOSE:
            break
    weighted = _Weighted.of(y, counting + unexplained, X, account, rows)
    common = _Common.of(weighted, spread)
    niches = _niches(weighted, common, spread)
    return NicheFit(
        niches,
        common.mean,
        common.cov,
        spread,
        unexplained,
        _residual(weighted, niches, rows),
        weighted.weight,
        weighted.X,
    )


@dataclass(frozen=True)
class _Weighted:
    """Rows less their account's weighted mean, and the niches' cross-products."""

    y: Floats
    X: Floats
    weight: Floats
    grams: Floats
    moments: Floats

    @classmethod
    def of(cls, y: Floats, variance: Floats, X: Floats, account: Ints, rows: list[Ints]) -> _Weighted:
        weight = 1 / variance
        total = np.bincount(account, weight)
        inner_y = y - (np.bincount(account, weight * y) / total)[account]
        means = np.stack([np.bincount(account, weight * column) / total for column in X.T], axis=1)
        inner = X - means[account]
        grams = np.stack([(inner[of] * weight[of, None]).T @ inner[of] for of in rows])
        moments = np.stack([inner[of].T @ (weight[of] * inner_y[of]) for of in rows])
        return cls(inner_y, inner, weight, grams, moments)


@dataclass(frozen=True)
class _Common:
    """The common coefficients, and what each niche contributes to them."""

    mean: Floats
    cov: Floats
    information: Floats
    scores: Floats

    @classmethod
    def of(cls, weighted: _Weighted, spread: Floats) -> _Common:
        # (S^-1 + T)^-1 = (I + S T)^-1 S, and exists where S cannot be inverted.
        left = np.eye(len(spread)) + weighted.grams * spread
        information = np.asarray(np.linalg.solve(left, weighted.grams), dtype=np.float64)
        information = (information + information.transpose(0, 2, 1)) / 2
        scores = np.asarray(np.linalg.solve(left, weighted.moments[:, :, None])[:, :, 0], np.float64)
        cov = np.linalg.inv(information.sum(axis=0) + np.eye(len(spread)) / _WIDE)
        return cls(cov @ scores.sum(axis=0), cov, information, scores)

    def without(self, number: int) -> tuple[Floats, Floats]:
        """The common coefficients by all niches but one."""
        information = self.information.sum(axis=0) - self.information[number]
        cov = np.linalg.inv(information + np.eye(len(self.mean)) / _WIDE)
        return cov @ (self.scores.sum(axis=0) - self.scores[number]), cov


def _spread(weighted: _Weighted, common: _Common, spread: Floats, tied: Ints) -> Floats:
    left = np.eye(len(spread)) + weighted.grams * spread
    off = weighted.moments - weighted.grams @ common.mean
    score = (np.linalg.solve(left, off[:, :, None])[:, :, 0] ** 2).sum(axis=0)
    used = common.information @ common.cov @ common.information
    trace = np.einsum("nii->i", common.information - used)
    ratio = np.bincount(tied, score) / np.maximum(np.bincount(tied, trace), 1e-12)
    return np.asarray(np.maximum(spread * np.sqrt(ratio)[tied], _SMALLEST))


def _niches(weighted: _Weighted, common: _Common, spread: Floats) -> tuple[Niche, ...]:
    found = []
    for number, (gram, moment) in enumerate(zip(weighted.grams, weighted.moments, strict=True)):
        prior_mean, cov = common.without(number)
        prior_cov = cov + np.diag(spread)
        precision = np.linalg.inv(prior_cov)
        posterior = np.linalg.inv(gram + precision)
        mean = posterior @ (moment + precision @ prior_mean)
        found.append(Niche(gram, moment, prior_mean, prior_cov, mean, posterior))
    return tuple(found)


def _residual(weighted: _Weighted, niches: tuple[Niche, ...], rows: list[Ints]) -> Floats:
    residual = weighted.y.copy()
    for of, niche in zip(rows, niches, strict=True):
        residual[of] -= weighted.X[of] @ niche.mean
    return residual


def _unexplained(
    weighted: _Weighted, niches: tuple[Niche, ...], account: Ints, rows: list[Ints], before: float
) -> float:
    weight = weighted.weight
    squares = float(((weight * _residual(weighted, niches, rows)) ** 2).sum())
    trace = float((weight * (1 - weight / np.bincount(account, weight)[account])).sum())
    for of, niche in zip(rows, niches, strict=True):
        leverage = np.einsum("ij,jk,ik->i", weighted.X[of], niche.cov, weighted.X[of])
        trace -= float((weight[of] ** 2 * leverage).sum())
    return max(before * float(np.sqrt(squares / max(trace, 1e-12))), _SMALLEST)


def _errors(weights: Floats, cov: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", weights, cov, weights), 0.0)))
