"""The rules of tuning: which trial is the best, whether it lies inside, and what an extension tries."""

import pytest

from charlm.comparison.search import RATE
from charlm.comparison.tuning import (
    MAX_EXTENSIONS,
    Trial,
    TrialState,
    find_best,
    find_edge,
    measure_spread,
    plan_extension,
    tuning_seed,
)


def trial(rate: float, loss: float | None, state: TrialState = "complete", is_extension: bool = False) -> Trial:
    """Return a trial with a learning rate and a loss."""
    return Trial(1, {RATE: rate, "model.dropout": 0.1}, state, loss, is_extension)


def test_best_trial_is_complete() -> None:
    """The best trial is the complete one with the lowest loss, the first of equal ones; pruned losses do not count."""
    trials = [trial(1, 2.0), trial(2, 1.5), trial(3, 1.5), trial(4, 1.0, "pruned"), trial(5, None, "diverged")]
    assert find_best(trials) is trials[1]
    assert find_best(trials[3:]) is None


@pytest.mark.parametrize(
    ("trials", "edge"),
    [
        ([trial(1, 2.0), trial(2, 1.0), trial(3, 2.0)], None),
        ([trial(1, 2.0), trial(2, 1.0)], "highest"),
        ([trial(1, 1.0), trial(2, 2.0)], "lowest"),
        ([trial(1, 2.0), trial(2, 1.0), trial(2.5, 2.0)], "highest"),  # by less than a factor of 1.26
        ([trial(1.7, 2.0), trial(2, 1.0), trial(3, 2.0)], "lowest"),
        ([trial(1, 2.0), trial(2, 1.0), trial(3, 2.0, "pruned")], "highest"),
        ([trial(1, 2.0), trial(2, 1.0), trial(3, 2.0, "unfinished")], "highest"),
        ([trial(1, 2.0), trial(2, 1.0), trial(3, None, "diverged")], None),
        ([trial(3, None, "diverged")], None),
        ([], None),
    ],
)
def test_edge(trials: list[Trial], edge: str | None) -> None:
    """The best trial lies inside if complete or diverged trials are clearly beyond it on both sides."""
    assert find_edge(trials) == edge


@pytest.mark.parametrize(
    ("losses", "rate"), [([2.0, 1.0], 2 * 10**0.5), ([1.0, 2.0], 10**-0.5), ([2.0, 1.0, 2.0], None)]
)
def test_extension(losses: list[float], rate: float | None) -> None:
    """An extension has the values of the best trial with a learning rate half a decade further outside."""
    values = plan_extension([trial(number, loss) for number, loss in enumerate(losses, start=1)])
    assert values == (None if rate is None else {RATE: pytest.approx(rate), "model.dropout": 0.1})


@pytest.mark.parametrize(("count", "is_planned"), [(MAX_EXTENSIONS - 1, True), (MAX_EXTENSIONS, False)])
def test_extensions_have_a_limit(count: int, is_planned: bool) -> None:
    """After the last extension there is no other, though the best trial is at an edge."""
    trials = [trial(10**number, 5.0 - number, is_extension=number > 0) for number in range(count + 1)]
    assert find_edge(trials) == "highest"
    assert (plan_extension(trials) is not None) == is_planned


@pytest.mark.parametrize(
    ("losses", "spread"), [([3.0, 1.0, 1.5, 1.25], 0.5), ([1.0, 1.25], 0.25), ([1.0], None), ([], None)]
)
def test_spread_of_the_best_trials(losses: list[float], spread: float | None) -> None:
    """The spread is the difference of the third-best loss and the best, without pruned trials."""
    assert measure_spread([*(trial(1, loss) for loss in losses), trial(1, 0.5, "pruned")]) == spread


@pytest.mark.parametrize(("seeds", "expected"), [([1, 2, 3], 0), ([0, 1, 3], 2), ([5], 0), ([0], 1)])
def test_trials_have_a_seed_of_their_own(seeds: list[int], expected: int) -> None:
    """The seed of the trials is used by no run."""
    assert tuning_seed(seeds) == expected
