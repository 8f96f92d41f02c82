"""The search space of the tuning."""

import math

import pytest

from charlm.comparison.search import (
    DECAY,
    DROPOUT,
    RATE,
    WARM_UP,
    apply_values,
    configured_values,
    find_ranges,
    first_values,
)
from charlm.config import Config


def test_range_of_learning_rates(config: Config) -> None:
    """Learning rates are searched over two and a half decades, with the configured one in the middle."""
    searched = find_ranges(config)[RATE]
    assert searched.is_log
    assert math.log10(searched.high / searched.low) == pytest.approx(2.5)
    assert math.sqrt(searched.high * searched.low) == pytest.approx(config.train.learning_rate)


@pytest.mark.parametrize(
    ("section", "name", "value", "key"),
    [("model", "dropout", 0.6, DROPOUT), ("train", "weight_decay", 3.0, DECAY), ("train", "warmup_steps", 20, WARM_UP)],
)
def test_ranges_include_the_configured_values(config: Config, section: str, name: str, value: float, key: str) -> None:
    """The other ranges begin at 0 and are moved outwards to a configured value beyond their end."""
    before, after = find_ranges(config)[key], find_ranges(config.replace(section, **{name: value}))[key]
    assert (before.low, after.low) == (0, 0)
    assert before.high < value == after.high


def test_warm_up_is_searched_in_whole_steps(config: Config) -> None:
    """The warm-up takes up to a fifth of the steps."""
    searched = find_ranges(config)[WARM_UP]
    assert searched.is_whole
    assert searched.high == 6  # of 30


def test_first_trials_have_the_configured_values(config: Config) -> None:
    """The first trial is as configured; the next two differ in the learning rate, by half a decade to each side."""
    configured, lower, higher = first_values(config)
    assert configured == configured_values(config)
    assert lower == configured | {RATE: pytest.approx(config.train.learning_rate / 10**0.5)}
    assert higher == configured | {RATE: pytest.approx(config.train.learning_rate * 10**0.5)}


def test_values_of_a_trial_change_its_keys_only(config: Config) -> None:
    """A trial changes the four values, and nothing else; the configured values change nothing."""
    tried = apply_values(config, {RATE: 0.011, DROPOUT: 0.21, DECAY: 0.3, WARM_UP: 2})
    assert (tried.train.learning_rate, tried.model.dropout) == (0.011, 0.21)
    assert (tried.train.weight_decay, tried.train.warmup_steps) == (0.3, 2)
    assert apply_values(tried, configured_values(config)) == config
