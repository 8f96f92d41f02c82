"""The tuning: reproducible and stratified candidates."""

import pytest

from charlm.comparison.tuning import LEARNING_RATE_SPREAD, MAX_DROPOUT, Candidate, draw_candidates, tuning_seed
from charlm.config import Config


def test_first_candidate_is_the_configured_one(config: Config) -> None:
    """The configured values are always the first candidate."""
    configured = Candidate(config.train.learning_rate, config.model.dropout)
    assert draw_candidates(config, 1) == [configured]
    assert draw_candidates(config, 5)[0] == configured


def test_candidates_are_reproducible(config: Config) -> None:
    """The same configuration gives the same candidates, and another seed gives others."""
    assert draw_candidates(config, 5) == draw_candidates(config, 5)
    assert draw_candidates(config, 5) != draw_candidates(config.replace("train", seed=2), 5)


@pytest.mark.parametrize("num_trials", [2, 5, 9])
def test_candidates_are_stratified(config: Config, num_trials: int) -> None:
    """Each of the equal parts of the range contains one learning rate, and half of the dropouts are 0."""
    drawn = draw_candidates(config, num_trials)[1:]
    low, width = config.train.learning_rate / LEARNING_RATE_SPREAD, LEARNING_RATE_SPREAD**2
    edges = [low * width ** (part / len(drawn)) for part in range(len(drawn) + 1)]
    for rate, low, high in zip(sorted(each.learning_rate for each in drawn), edges, edges[1:], strict=False):
        assert low * 0.95 <= rate <= high * 1.05  # they are rounded to two digits
    dropouts = sorted(each.dropout for each in drawn)
    assert dropouts[: len(drawn) // 2] == [0.0] * (len(drawn) // 2)
    assert dropouts[-1] <= MAX_DROPOUT


def test_rates_and_dropouts_are_independent(config: Config) -> None:
    """Over several seeds, the order of the rates and the position of the highest dropout vary."""
    draws = [draw_candidates(config.replace("train", seed=seed), 5)[1:] for seed in range(8)]
    orders = {tuple(sorted(range(4), key=[each.learning_rate for each in drawn].__getitem__)) for drawn in draws}
    highest_dropouts = {max(range(4), key=[each.dropout for each in drawn].__getitem__) for drawn in draws}
    assert len(orders) > 3
    assert len(highest_dropouts) > 1


def test_candidate_changes_two_values(config: Config) -> None:
    """A candidate changes the learning rate and the dropout, and nothing else."""
    tried = Candidate(0.011, 0.21).apply(config)
    assert (tried.train.learning_rate, tried.model.dropout) == (0.011, 0.21)
    restored = tried.replace("train", learning_rate=config.train.learning_rate)
    assert restored.replace("model", dropout=config.model.dropout) == config


@pytest.mark.parametrize(("seeds", "expected"), [([1, 2, 3], 0), ([0, 1, 3], 2), ([5], 0), ([0], 1)])
def test_trials_have_a_seed_of_their_own(seeds: list[int], expected: int) -> None:
    """The seed of the trials is used by no run."""
    assert tuning_seed(seeds) == expected
