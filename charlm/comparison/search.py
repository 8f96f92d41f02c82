"""What the tuning searches: the keys, the range of each, and the values that every search begins with."""

import math
from dataclasses import dataclass

from charlm.config import Config

Values = dict[str, float]
"""The values of one trial by configuration key, as in ``train.learning_rate``."""

RATE, DROPOUT, DECAY, WARM_UP = "train.learning_rate", "model.dropout", "train.weight_decay", "train.warmup_steps"

SEARCHED = {RATE: "rate", DROPOUT: "dropout", DECAY: "decay", WARM_UP: "warm-up"}
"""The searched keys, each with its name in tables."""

RATE_DECADES = 2.5
"""Width of the range of learning rates, in powers of ten, with the configured rate in its middle."""

FIRST_RATE_FACTORS = (1.0, 10**-0.5, 10**0.5)
"""Learning rates of the first trials, as multiples of the configured one; their other values are the configured ones.

So every search has losses on both sides of the configured rate, however few trials it has.
"""

MAX_DROPOUT = 0.3
MAX_DECAY = 0.2
MAX_WARM_UP_FRAC = 0.2
"""Upper ends of the other ranges, which begin at 0; a larger configured value is included. The last is of the steps."""


@dataclass(frozen=True)
class Range:
    """The values of a key that are searched.

    Attributes:
        low: lowest value.
        high: highest value.
        is_log: whether equal ratios are equally likely, rather than equal differences.
        is_whole: whether values are whole numbers.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    def include(self, value: float) -> "Range":
        """Return the range, moved outwards if a value is not in it."""
        return Range(min(self.low, value), max(self.high, value), self.is_log, self.is_whole)


def find_ranges(config: Config) -> dict[str, Range]:
    """Return the range of each searched key about the configured values.

    These are the keys of training that can suit one depth better than another.
    """
    train, half_width = config.train, 10 ** (RATE_DECADES / 2)
    ranges = {
        RATE: Range(train.learning_rate / half_width, train.learning_rate * half_width, is_log=True),
        DROPOUT: Range(0.0, MAX_DROPOUT),
        DECAY: Range(0.0, MAX_DECAY),
        WARM_UP: Range(0, math.ceil(MAX_WARM_UP_FRAC * train.max_steps), is_whole=True),
    }
    values = configured_values(config)
    return {key: searched.include(values[key]) for key, searched in ranges.items()}


def configured_values(config: Config) -> Values:
    """Return the values of the searched keys in a configuration."""
    return {
        RATE: config.train.learning_rate,
        DROPOUT: config.model.dropout,
        DECAY: config.train.weight_decay,
        WARM_UP: config.train.warmup_steps,
    }


def first_values(config: Config) -> list[Values]:
    """Return the values of the first trials: the configured ones, then two other learning rates."""
    configured = configured_values(config)
    return [configured | {RATE: factor * configured[RATE]} for factor in FIRST_RATE_FACTORS]


def apply_values(config: Config, values: Values) -> Config:
    """Return a configuration with the values of a trial."""
    for name, value in values.items():
        section, key = name.split(".")
        config = config.replace(section, **{key: value})
    return config
