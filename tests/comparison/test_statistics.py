"""The statistics of a comparison, against SciPy's on the same numbers and against their own promises."""

import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from charlm.comparison.statistics import (
    ALPHA,
    POWER,
    MeanDifference,
    compare_means,
    compute_power,
    confidence_margin,
    correct_by_holm,
    find_study_size,
)
from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.session import Session

SAMPLES = st.lists(st.floats(-5, 5), min_size=2, max_size=12).filter(lambda values: max(values) - min(values) > 1e-3)


@given(SAMPLES, SAMPLES)
def test_two_samples_equal_scipy(first: list[float], second: list[float]) -> None:
    """The interval and the p-value of two samples are those of SciPy's t-test with equal variances."""
    [difference] = compare_means([first, second])
    expected = stats.ttest_ind(first, second)
    interval = expected.confidence_interval(0.95)
    assert difference is not None
    assert difference.interval == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)
    assert difference.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


def test_variance_is_pooled_over_all_arms() -> None:
    """Two quiet arms are compared with the mean variance of all three, and with its degrees of freedom."""
    first, *_ = compare_means([[0.0, 2.0], [3.0, 5.0], [0.0, 4.0, 8.0]])
    assert first is not None
    assert first.sd == pytest.approx(((2 + 2 + 2 * 16) / 4) ** 0.5)
    assert (first.gain, first.degrees_of_freedom, first.num_runs) == (-3.0, 4, (2, 2))


def test_noisy_pair_has_its_own_variance() -> None:
    """Quiet arms do not make a difference between noisy ones look more exact than it is."""
    *_, last = compare_means([[0.0, 0.1], [0.0, 4.0], [0.0, 8.0]])
    assert last is not None
    assert last.sd == pytest.approx(((8 + 32) / 2) ** 0.5)


@pytest.mark.parametrize(
    ("samples", "sd"), [([[1.0], [2.0]], None), ([[1.0], [2.0, 4.0]], 2**0.5), ([[1.0, 1.0], [1.0, 1.0]], 0.0)]
)
def test_few_runs(samples: list[list[float]], sd: float | None) -> None:
    """One run of each depth gives no estimate; where one depth has two, its spread serves for both."""
    [difference] = compare_means(samples)
    assert difference is not None
    assert difference.sd == (None if sd is None else pytest.approx(sd))
    assert (difference.interval is None) == (difference.p_value is None) == (not sd)


def test_arm_without_runs_has_no_difference() -> None:
    """A pair with an empty sample has no difference; the place of the others stays."""
    assert [difference is None for difference in compare_means([[1.0, 2.0], [], [1.0, 3.0]])] == [True, False, True]


def test_holm() -> None:
    """The smallest p-value is multiplied by the number of comparisons, the next by one less; none falls below it."""
    assert correct_by_holm([0.04, 0.01, 0.02, 0.5]) == pytest.approx([0.08, 0.04, 0.06, 0.5])
    assert correct_by_holm([0.02, 0.015]) == pytest.approx([0.03, 0.03])
    assert correct_by_holm([0.6, 0.9]) == [1.0, 1.0]
    assert correct_by_holm([]) == []


@pytest.mark.parametrize(("num_arms", "num_seeds"), [(2, 3), (3, 3), (3, 5), (5, 3)])
def test_false_verdicts_are_rare(num_arms: int, num_seeds: int) -> None:
    """Where no arm differs, at most 5 reports in 100 have any verdict."""
    drawn = np.random.default_rng(1).standard_normal((1000, num_arms, num_seeds)).tolist()
    false = sum(
        min(correct_by_holm([difference.p_value for difference in compare_means(arms)])) < ALPHA for arms in drawn
    )
    assert 0.015 <= false / len(drawn) <= 0.065  # 0.05 and two standard errors


@pytest.mark.parametrize(("effect", "num_seeds", "num_arms"), [(1.0, 10, 2), (2.0, 5, 3), (3.0, 3, 5)])
def test_power(effect: float, num_seeds: int, num_arms: int) -> None:
    """The power is the share of simulated studies that find the effect."""
    noise = np.random.default_rng(2).standard_normal((4000, num_arms, num_seeds))
    noise[:, 0] += effect
    variance = noise.var(axis=2, ddof=1).mean(axis=1)
    t = (noise[:, 0].mean(axis=1) - noise[:, 1].mean(axis=1)) / np.sqrt(2 * variance / num_seeds)
    found = (np.abs(t) > stats.t.ppf(0.975, num_arms * (num_seeds - 1))).mean()
    assert compute_power(effect, num_seeds, num_arms, 0.05) == pytest.approx(found, abs=0.03)


@pytest.mark.parametrize(("effect", "num_arms", "num_comparisons"), [(1.0, 2, 1), (-1.0, 3, 9), (2.5, 5, 10)])
def test_study_size(effect: float, num_arms: int, num_comparisons: int) -> None:
    """The size is the least whose power is 80 % at the strictest step of the correction."""
    size = find_study_size(effect, num_arms, num_comparisons)
    assert size is not None
    alpha = 0.05 / num_comparisons
    assert compute_power(effect, size - 1, num_arms, alpha) < POWER <= compute_power(effect, size, num_arms, alpha)


@pytest.mark.parametrize("effect", [0.0, 0.1, 1e-12])
def test_small_effect_needs_too_many_seeds(effect: float) -> None:
    """No study of 100 seeds finds a tenth of a standard deviation."""
    assert find_study_size(effect, 3, 3) is None


def test_margin_of_one_mean() -> None:
    """The margin is that of SciPy's t-test of one sample."""
    values = [1.0, 2.0, 4.0]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert confidence_margin(float(np.std(values, ddof=1)), 3) == pytest.approx((expected.high - expected.low) / 2)


def test_scipy_is_loaded_for_an_interval_alone() -> None:
    """Importing the comparison does not import SciPy, which takes a second."""
    script = """
import sys
from charlm.comparison import experiment, plan, results, statistics
assert "scipy" not in sys.modules
assert statistics.compare_means([[1.0], [2.0]])[0].interval is None
assert "scipy" not in sys.modules
assert statistics.compare_means([[1.0, 2.0], [2.0]])[0].interval
assert "scipy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_arm_is_rarely_better_than_itself(config: Config) -> None:
    """One arm against itself under other seeds, really trained: found different about as often as expected."""
    corpus = load_corpus(config.data.path, config.data.level)
    losses = [train_briefly(config.replace("train", seed=seed, max_steps=8), corpus) for seed in range(60)]
    random, decided = Random(1), 0  # noqa: S311
    for _ in range(1000):
        drawn = random.sample(losses, 10)
        [difference] = compare_means([drawn[:5], drawn[5:]])
        assert isinstance(difference, MeanDifference)
        decided += difference.p_value < ALPHA

    assert 10 <= decided <= 80


def train_briefly(config: Config, corpus: Corpus) -> float:
    """Return the validation loss after all steps of a training that writes nothing."""
    session = Session(config, corpus)
    while not session.is_finished:
        session.take_step()
    return evaluate(session.model, session.splits.val).loss_nats
