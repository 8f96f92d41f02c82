"""What paired differences tell: their mean, its confidence interval by Student's t, and a verdict.

Symbols: n pairs, t Student's variable, ν its degrees of freedom.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95

MAX_SEEDS = 1000
"""More seeds than this are not asked for: a difference that needs them does not matter."""


@dataclass(frozen=True)
class PairedDifference:
    """How much lower one arm's loss is than another's, seed by seed.

    Attributes:
        gains: first loss minus second, one for each seed.
    """

    gains: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean gain."""
        return statistics.fmean(self.gains)

    @property
    def sd(self) -> float | None:
        """The standard deviation of the gains; None for one."""
        return statistics.stdev(self.gains) if len(self.gains) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean gain, by Student's t; None for one seed."""
        if self.sd is None:
            return None
        margin = confidence_margin(self.sd, len(self.gains))
        return self.mean - margin, self.mean + margin

    @property
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """``better``, ``worse``, or ``undecided`` where the interval holds zero or there is none."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "undecided"
        return "better" if self.mean > 0 else "worse"

    @property
    def num_seeds_to_decide(self) -> int | None:
        """Seeds in all at which the interval would leave zero out, were mean and spread to stay; None if too many."""
        if self.sd is None or self.mean == 0:
            return None
        sufficient = (
            n for n in range(len(self.gains), MAX_SEEDS + 1) if confidence_margin(self.sd, n) < abs(self.mean)
        )
        return next(sufficient, None)


def confidence_margin(sd: float, n: int) -> float:
    """Return how far the 95 % confidence interval of a mean reaches to either side, by Student's t.

    Args:
        sd: standard deviation of the values.
        n: how many there are, at least 2.
    """
    return student_quantile((1 + CONFIDENCE) / 2, n - 1) * sd / math.sqrt(n)


def student_quantile(probability: float, degrees: int) -> float:
    """Return the t that Student's variable stays below with a probability of 0.5 to below 1, by bisection.

    Args:
        probability: at least 0.5, below 1.
        degrees: ν, at least 1.
    """
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, degrees) < probability else (low, middle)
    return high


def _student_cdf(t: float, degrees: int) -> float:
    """Return the probability of staying below t ≥ 0, from the finite series in θ = atan(t / √ν).

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    theta = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(theta), math.sin(theta)
    if degrees % 2:
        terms, term = 0.0, cosine
        for k in range(3, degrees + 1, 2):
            terms += term
            term *= cosine * cosine * (k - 1) / k
        within = 2 / math.pi * (theta + sine * terms)
    else:
        terms, term = 0.0, 1.0
        for k in range(2, degrees + 1, 2):
            terms += term
            term *= cosine * cosine * (k - 1) / k
        within = sine * terms
    return (1 + within) / 2
