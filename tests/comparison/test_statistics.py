"""The statistics of paired differences, against SciPy's on the same numbers."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from charlm.comparison.statistics import PairedDifference, student_quantile
from charlm.config import Config
from charlm.inference.evaluation import evaluate
from charlm.text.corpus import Corpus, load_corpus
from charlm.training.session import Session


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 30, 99, 500])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.975, 0.999])
def test_quantile_equals_scipy(probability: float, degrees: int) -> None:
    """The quantiles of Student's t are SciPy's."""
    assert student_quantile(probability, degrees) == pytest.approx(
        stats.t.ppf(probability, degrees), rel=1e-9, abs=1e-12
    )


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
    """An arm is better or worse only where the interval leaves zero out."""
    assert PairedDifference(gains).verdict == verdict


def test_seeds_to_decide() -> None:
    """The number of seeds asked for is the least whose interval would leave zero out."""
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


def test_same_arm_is_rarely_told_apart() -> None:
    """Arms without a difference are told apart as often as the confidence allows, 5 times in 100."""
    samples = stats.norm.rvs(size=(2000, 5), random_state=1)
    decided = sum(PairedDifference(tuple(gains)).verdict != "undecided" for gains in samples.tolist())
    assert 70 <= decided <= 130


def test_arm_is_rarely_better_than_itself(config: Config) -> None:
    """One arm against itself under other seeds, trained for real: told apart about as often as the intervals allow."""
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
