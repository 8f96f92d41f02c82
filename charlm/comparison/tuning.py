"""Tuning: the learning rate and the dropout of each arm, by a small random search on validation.

Every arm tries the same candidates, under a seed that no run of the comparison has, so that the luck of the search
enters no result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from charlm.config import Config

LEARNING_RATE_SPREAD = 3.0
"""Learning rates are drawn between a third and three times the configured one, evenly in their logarithm."""

MAX_DROPOUT = 0.3
"""Half of the candidates have no dropout, the others between none and this."""


@dataclass(frozen=True)
class Candidate:
    """What a trial tries.

    Attributes:
        learning_rate: train.learning_rate.
        dropout: model.dropout.
    """

    learning_rate: float
    dropout: float

    def apply(self, config: Config) -> Config:
        """Return a configuration with these values."""
        return config.replace("model", dropout=self.dropout).replace("train", learning_rate=self.learning_rate)


def draw_candidates(config: Config, num_trials: int) -> list[Candidate]:
    """Return the candidates: the configured values, then draws that are spread evenly (a Latin square).

    Args:
        config: its learning rate is the centre, its seed that of the draws.
        num_trials: at least 1.
    """
    random = Random(config.train.seed)  # noqa: S311  # an experiment's randomness, not a secret's
    count = num_trials - 1
    rate_places, dropout_places = _spread(random, count), _spread(random, count)
    drawn = [
        Candidate(
            learning_rate=_round(config.train.learning_rate * LEARNING_RATE_SPREAD ** (2 * rate_place - 1)),
            dropout=_round(MAX_DROPOUT * max(0.0, 2 * dropout_place - 1)),
        )
        for rate_place, dropout_place in zip(rate_places, dropout_places, strict=True)
    ]
    return [Candidate(config.train.learning_rate, config.model.dropout), *drawn]


def _spread(random: Random, count: int) -> list[float]:
    """Return a number from each of ``count`` equal parts of 0 to 1, in random order."""
    places = [(part + random.random()) / count for part in range(count)]
    random.shuffle(places)
    return places


def _round(value: float) -> float:
    return float(f"{value:.2g}")


def tuning_seed(seeds: Sequence[int]) -> int:
    """Return the seed of the trials: the least that no run has."""
    return min(set(range(len(seeds) + 1)) - set(seeds))
