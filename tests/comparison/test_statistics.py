"""The statistics of paired differences, against SciPy's on the same numbers."""

import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from charlm.comparison import statistics
from charlm.comparison.statistics import MAX_SEEDS, PairedDifference
from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.session import Session


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12).filter(lambda gains: len(set(gains)) > 1))
def test_interval_equals_scipy(gains: list[float]) -> None:
    """The interval of paired gains is that of SciPy's paired t-test."""
    difference = PairedDifference(tuple(gains))
    expected = stats.ttest_rel(gains, [0.0] * len(gains)).confidence_interval(0.95)
    assert difference.interval == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.1, 0.11, 0.12), "better"),
        ((-0.1, -0.11, -0.12), "worse"),
        ((0.1, -0.1, 0.05), "undecided"),
        ((0.1,), "undecided"),
        ((0.0, 0.0), "undecided"),
    ],
)
def test_verdict(gains: tuple[float, ...], verdict: str) -> None:
    """An arm is better or worse only if the interval excludes zero."""
    assert PairedDifference(gains).verdict == verdict


def test_seeds_to_decide() -> None:
    """The recommended number of seeds is the least whose interval would exclude zero."""
    difference = PairedDifference((0.1, -0.05, 0.06))
    needed = difference.num_seeds_to_decide
    assert needed is not None
    assert difference.sd is not None

    def margin(n: int) -> float:
        return float(stats.t.ppf(0.975, n - 1) * difference.sd / n**0.5)

    assert margin(needed) < difference.mean <= margin(needed - 1)
    assert PairedDifference((0.1, 0.11, 0.12)).num_seeds_to_decide == 3
    assert PairedDifference((1.0, -1.0)).num_seeds_to_decide is None
    assert PairedDifference((0.5,)).num_seeds_to_decide is None


@pytest.mark.parametrize("mean", [1e-3, 1e-4, 1e-6, 1e-12])
def test_seeds_to_decide_take_few_quantiles(mean: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """However near to zero a difference is, the number of seeds is found by bisection."""
    numbers: list[int] = []
    margin = statistics.confidence_margin

    def count(sd: float, n: int) -> float:
        numbers.append(n)
        return margin(sd, n)

    monkeypatch.setattr(statistics, "confidence_margin", count)
    spread = 0.01
    needed = PairedDifference((mean + spread, mean, mean - spread)).num_seeds_to_decide
    assert len(numbers) <= MAX_SEEDS.bit_length() + 1
    assert needed == next((n for n in range(3, MAX_SEEDS + 1) if margin(spread, n) < mean), None)


def test_scipy_is_loaded_for_an_interval_alone() -> None:
    """Importing the comparison does not import SciPy, which takes a second."""
    script = """
import sys
from charlm.comparison import experiment, plan, results, statistics
assert "scipy" not in sys.modules
assert statistics.PairedDifference((1.0,)).interval is None
assert "scipy" not in sys.modules
assert statistics.PairedDifference((1.0, 2.0)).interval
assert "scipy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_same_arm_is_rarely_told_apart() -> None:
    """Equal arms are found different as often as the confidence level allows, 5 times in 100."""
    samples = stats.norm.rvs(size=(2000, 5), random_state=1)
    decided = sum(PairedDifference(tuple(gains)).verdict != "undecided" for gains in samples.tolist())
    assert 70 <= decided <= 130


def test_arm_is_rarely_better_than_itself(config: Config) -> None:
    """One arm against itself under other seeds, really trained: found different about as often as expected."""
    corpus = load_corpus(config.data.path, config.data.level)
    losses = [train_briefly(config.replace("train", seed=seed, max_steps=8), corpus) for seed in range(60)]
    random, decided = Random(1), 0  # noqa: S311
    for _ in range(1000):
        drawn = random.sample(losses, 10)
        gains = tuple(one - other for one, other in zip(drawn[:5], drawn[5:], strict=True))
        decided += PairedDifference(gains).verdict != "undecided"

    assert 10 <= decided <= 80


def train_briefly(config: Config, corpus: Corpus) -> float:
    """Return the validation loss after all steps of a training that writes nothing."""
    session = Session(config, corpus)
    while not session.is_finished:
        session.take_step()
    return evaluate(session.model, session.splits.val).loss_nats
