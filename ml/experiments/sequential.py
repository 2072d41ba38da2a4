"""An interval one may look at every day: it holds at all looks at once, with chance 1 - alpha.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central
limit theory and asymptotic confidence sequences (2021, theorem 2.2), Robbins' normal mixture at heart:

    estimate +- sqrt( v * (1 + 1 / x) * (log(1 + x) - 2 log(alpha)) ),   x = rho^2 / v

with v the variance of the estimate. Time is thus told by information, 1 / v, which is right for unequal arms
and for clusters as well: sums over whole units have cov(estimate_s, estimate_t) = v_t for s < t, whether
information grows by new units or levels off as the old ones return.

It holds for many units. For few, the multiple of the standard error is put through Student's t: the same
tail, at the degrees of freedom there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from ml.experiments.errors import ExperimentSettingsInvalid
from ml.experiments.observations import Numbers


@dataclass(frozen=True)
class ConfidenceSequence:
    """A two-sided confidence sequence.

    Attributes:
        alpha: chance that the truth is ever outside.
        tightest_at: the information (1 / variance of the estimate) at which it is tightest. To be fixed
            beforehand, or told from a plan: `of_plan`.
    """

    alpha: float
    tightest_at: float

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ExperimentSettingsInvalid(f"alpha is {self.alpha}; it lies between 0 and 1")
        if not self.tightest_at > 0:
            raise ExperimentSettingsInvalid(f"tightest_at is {self.tightest_at}; information is more than 0")

    @classmethod
    def of_plan(cls, alpha: float, *, variance: float, at: float, tightest: float) -> ConfidenceSequence:
        """Tightest at a later or earlier day (or count of units), when information grows evenly.

        Where it grows more slowly than that, as with returning accounts, the looks resemble each other more
        than the sequence allows for, and it errs on the safe side (Slepian's inequality).

        Args:
            alpha: chance that the truth is ever outside.
            variance: of the estimate now.
            at: days, or units, up to now.
            tightest: days, or units, when it is tightest.
        """
        return cls(alpha, tightest / (at * variance))

    def multiple(self, variance: float | Numbers, degrees: float | Numbers = math.inf) -> Numbers:
        """Half the width in standard errors; the arguments as in `half_width`."""
        return multiples(self.alpha, 1 / (self.tightest_at * np.asarray(variance)), degrees)

    def half_width(self, variance: float | Numbers, degrees: float | Numbers = math.inf) -> Numbers:
        """Half the width, elementwise.

        Args:
            variance: of the estimate, above 0.
            degrees: degrees of freedom of that variance.
        """
        return np.sqrt(variance) * self.multiple(variance, degrees)

    def interval(self, difference: float, variance: float, degrees: float = math.inf) -> tuple[float, float]:
        """The interval at one look.

        >>> low, high = ConfidenceSequence(0.05, tightest_at=100.0).interval(0.5, 0.01)
        >>> round(low, 3), round(high, 3)
        (0.196, 0.804)
        """
        half = float(self.half_width(variance, degrees))
        return difference - half, difference + half


def multiples(alpha: float, progress: float | Numbers, degrees: float | Numbers = math.inf) -> Numbers:
    """Half the width in standard errors, elementwise.

    Args:
        alpha: chance that the truth is ever outside.
        progress: information so far as a share of that at which the sequence is tightest.
        degrees: degrees of freedom of the variance.
    """
    # The best x solves x = log(1 + x) - 2 log(alpha): Lambert's W, the paper's appendix on choosing rho.
    best = -float(special.lambertw(-(alpha**2) / math.e, -1).real) - 1
    x = best * np.asarray(progress, dtype=np.float64)
    normal = np.sqrt((1 + 1 / x) * (np.log1p(x) - 2 * math.log(alpha)))
    return np.asarray(stats.t.isf(stats.norm.sf(normal), degrees), dtype=np.float64)
