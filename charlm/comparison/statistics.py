"""Statistics of a comparison: differences of means, Student's t with pooled variance, Holm's correction, and power.

Runs of equal seeds share nothing that would make their losses alike, so samples are compared unpaired. The rules were
chosen by scripts/simulate_verdicts.py; docs/statistics.md has its figures.

Sources:
    Holm, Scandinavian Journal of Statistics 6(2), 1979: the correction for several comparisons.

Symbols: K arms of a group.
"""

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

CONFIDENCE = 0.95
"""Confidence level of an interval."""

ALPHA = 0.05
"""The largest probability of any false verdict in a report."""

POWER = 0.8
"""Probability with which a study of the recommended size finds a difference."""

MAX_SEEDS = 100
"""The largest number of seeds to recommend: a difference that needs more is too small to matter."""


@dataclass(frozen=True)
class MeanDifference:
    """How much lower the mean loss of one arm is than that of another.

    Attributes:
        gain: mean of the first sample minus mean of the second.
        sd: standard deviation of a loss over seeds, pooled over the arms; None where no arm has two runs.
        degrees_of_freedom: of ``sd``.
        num_runs: sizes of the two samples, each at least 1.
    """

    gain: float
    sd: float | None
    degrees_of_freedom: int
    num_runs: tuple[int, int]

    @property
    def standard_error(self) -> float | None:
        """Standard deviation of the gain; None if it cannot be estimated."""
        first, second = self.num_runs
        return self.sd * math.sqrt(1 / first + 1 / second) if self.sd else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the gain, without correction; None if it cannot be estimated."""
        if self.standard_error is None:
            return None
        margin = t_quantile((1 + CONFIDENCE) / 2, self.degrees_of_freedom) * self.standard_error
        return self.gain - margin, self.gain + margin

    @property
    def p_value(self) -> float | None:
        """Probability of a gain at least this large, either way, if the means are equal; None if not estimated."""
        from scipy import special  # takes a second to import

        if self.standard_error is None:
            return None
        return float(2 * special.stdtr(self.degrees_of_freedom, -abs(self.gain) / self.standard_error))


def compare_means(samples: Sequence[Sequence[float]]) -> list[MeanDifference | None]:
    """Return the differences of all pairs of samples, in the order of ``itertools.combinations``.

    The variance is pooled over all samples, or over the two where that is larger: some depths vary more than others,
    and the quiet ones must not make a noisy one look exact.

    Args:
        samples: the losses of each of K arms; a pair with an empty sample has no difference.
    """
    return [
        _compare(samples, first, second) if first and second else None for first, second in combinations(samples, 2)
    ]


def _compare(samples: Sequence[Sequence[float]], first: Sequence[float], second: Sequence[float]) -> MeanDifference:
    gain = statistics.fmean(first) - statistics.fmean(second)
    variances = [variance for variance in (_pool(samples), _pool([first, second])) if variance is not None]
    sd = math.sqrt(max(variances)) if variances else None
    return MeanDifference(gain, sd, _degrees_of_freedom(samples), (len(first), len(second)))


def _pool(samples: Sequence[Sequence[float]]) -> float | None:
    """Return the pooled variance of several samples; None where none has two values."""
    degrees_of_freedom = _degrees_of_freedom(samples)
    squares = sum(statistics.variance(sample) * (len(sample) - 1) for sample in samples if len(sample) > 1)
    return squares / degrees_of_freedom if degrees_of_freedom else None


def _degrees_of_freedom(samples: Sequence[Sequence[float]]) -> int:
    return sum(len(sample) - 1 for sample in samples if sample)


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """Return corrected p-values: if all below 5 % are taken as real, any of them is false with a probability of 5 %."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = largest
    return corrected


def find_study_size(effect: float, num_arms: int, num_comparisons: int) -> int | None:
    """Return the seeds per arm of a study that finds an effect with a probability of 80 %; None if too many.

    Args:
        effect: true difference of two means, in standard deviations over seeds.
        num_arms: K, whose variance is pooled, at least 2.
        num_comparisons: of the study; the first step of Holm's correction is assumed for all of them.
    """
    alpha = ALPHA / num_comparisons
    candidates = range(2, MAX_SEEDS + 1)  # the power rises with the number, so that bisection finds the first
    position = bisect_left(candidates, POWER, key=lambda number: compute_power(effect, number, num_arms, alpha))
    return candidates[position] if position < len(candidates) else None


def compute_power(effect: float, num_seeds: int, num_arms: int, alpha: float) -> float:
    """Return the probability that a study finds a difference.

    Args:
        effect: true difference of two means, in standard deviations over seeds.
        num_seeds: runs of each arm, at least 2.
        num_arms: K, whose variance is pooled.
        alpha: the p-value below which a difference counts, 0 to 1.
    """
    from scipy import stats  # takes a second to import

    degrees_of_freedom = num_arms * (num_seeds - 1)
    bound = t_quantile(1 - alpha / 2, degrees_of_freedom)
    noncentrality = abs(effect) * math.sqrt(num_seeds / 2)
    return float(stats.nct.sf(bound, degrees_of_freedom, noncentrality))  # the other side has next to nothing


def confidence_margin(sd: float, n: int) -> float:
    """Return how far the 95 % confidence interval of a mean reaches to either side, by Student's t.

    Args:
        sd: standard deviation of the values.
        n: how many there are, at least 2.
    """
    return t_quantile((1 + CONFIDENCE) / 2, n - 1) * sd / math.sqrt(n)


@cache
def t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """Return the quantile of Student's t."""
    from scipy import special  # takes a second to import

    return float(special.stdtrit(degrees_of_freedom, probability))
