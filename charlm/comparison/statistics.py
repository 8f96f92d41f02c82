"""Statistics of paired differences: their mean, its confidence interval by Student's t, and a verdict.

Symbols: n pairs.
"""

import math
import statistics
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95

MAX_SEEDS = 1000
"""The largest number of seeds to recommend: a difference that needs more is too small to matter."""


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
        """``better``, ``worse``, or ``undecided`` if the interval contains zero or does not exist."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "undecided"
        return "better" if self.mean > 0 else "worse"

    @property
    def num_seeds_to_decide(self) -> int | None:
        """Seeds in all at which the interval would leave zero out, were mean and spread to stay; None if too many."""
        if self.sd is None or self.mean == 0:
            return None
        sd, gain = self.sd, abs(self.mean)
        candidates = range(len(self.gains), MAX_SEEDS + 1)  # the margin falls with n, so that bisection finds the first
        position = bisect_left(candidates, True, key=lambda n: confidence_margin(sd, n) < gain)
        return candidates[position] if position < len(candidates) else None


def confidence_margin(sd: float, n: int) -> float:
    """Return how far the 95 % confidence interval of a mean reaches to either side, by Student's t.

    Args:
        sd: standard deviation of the values.
        n: how many there are, at least 2.
    """
    from scipy import stats  # takes a second to import

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
