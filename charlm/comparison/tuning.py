"""Tuning: a small random search for the learning rate and dropout of each arm, by validation loss.

All arms try the same candidates. The trials use a seed that no run of the comparison uses, so that the results are not
biased by the selection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from charlm.config import Config

LEARNING_RATE_SPREAD = 3.0
"""Learning rates are drawn log-uniformly between a third and three times the configured one."""

MAX_DROPOUT = 0.3
"""Half of the candidates have no dropout; the others have a dropout between 0 and this."""


@dataclass(frozen=True)
class Candidate:
    """The hyperparameters of one trial.

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
    """Return the candidates: the configured values, then draws by Latin hypercube sampling.

    Args:
        config: the centre of the learning rates, and the seed of the draws.
        num_trials: number of candidates, at least 1.
    """
    random = Random(config.train.seed)  # noqa: S311  # not for cryptography
    count = num_trials - 1
    rate_points, dropout_points = _draw_stratified(random, count), _draw_stratified(random, count)
    drawn = [
        Candidate(
            learning_rate=_round(config.train.learning_rate * LEARNING_RATE_SPREAD ** (2 * rate_point - 1)),
            dropout=_round(MAX_DROPOUT * max(0.0, 2 * dropout_point - 1)),
        )
        for rate_point, dropout_point in zip(rate_points, dropout_points, strict=True)
    ]
    return [Candidate(config.train.learning_rate, config.model.dropout), *drawn]


def _draw_stratified(random: Random, count: int) -> list[float]:
    """Return one number from each of ``count`` equal parts of the interval 0 to 1, in random order."""
    points = [(part + random.random()) / count for part in range(count)]
    random.shuffle(points)
    return points


def _round(value: float) -> float:
    return float(f"{value:.2g}")


def tuning_seed(seeds: Sequence[int]) -> int:
    """Return the seed of the trials: the smallest one from 0 on that no run uses."""
    return min(set(range(len(seeds) + 1)) - set(seeds))
