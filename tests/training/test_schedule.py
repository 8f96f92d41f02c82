"""The learning rate of every step, also of a run that is made longer."""

import pytest

from charlm.config import TrainConfig
from charlm.training.schedule import Extension, extend, learning_rate_at

PLAN = TrainConfig(learning_rate=1.0, learning_rate_floor_frac=0.1, warmup_steps=4, max_steps=104)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (54, 0.55), (104, 0.1), (999, 0.1)],
)
def test_learning_rate(step: int, expected: float) -> None:
    """The rate rises linearly, then falls along a cosine to its floor."""
    assert learning_rate_at(step, PLAN) == pytest.approx(expected)


def test_learning_rate_without_warmup() -> None:
    """Without a warm-up the first step has the full rate."""
    assert learning_rate_at(0, TrainConfig(learning_rate=0.5, warmup_steps=0)) == 0.5


def test_longer_run_starts_a_cosine_where_it_stands() -> None:
    """From the rate that was reached a new half cosine leads to the same floor at the new end."""
    longer = PLAN.model_copy(update={"max_steps": 254})
    extension = extend(54, PLAN, longer, None)
    assert extension == Extension(54, pytest.approx(0.55))
    rates = [learning_rate_at(step, longer, extension) for step in (54, 154, 254)]
    assert rates == pytest.approx([0.55, (0.55 + 0.1) / 2, 0.1])


def test_finished_run_goes_on_at_the_floor() -> None:
    """A run that had reached its floor stays there."""
    longer = PLAN.model_copy(update={"max_steps": 204})
    extension = extend(104, PLAN, longer, None)
    assert [learning_rate_at(step, longer, extension) for step in (104, 150, 203)] == pytest.approx([0.1] * 3)


def test_second_extension_starts_from_the_first() -> None:
    """A run can be made longer again, and the rate is continuous each time."""
    second, third = (PLAN.model_copy(update={"max_steps": steps}) for steps in (254, 500))
    extension = extend(54, PLAN, second, None)
    again = extend(154, second, third, extension)
    assert again == Extension(154, learning_rate_at(154, second, extension))
    assert learning_rate_at(154, third, again) == pytest.approx(0.325)


@pytest.mark.parametrize("step", [0, 4])
def test_during_the_warmup_the_new_plan_applies_from_the_start(step: int) -> None:
    """No cosine has started yet, so there is nothing to continue."""
    assert extend(step, PLAN, PLAN.model_copy(update={"max_steps": 254}), None) is None


def test_a_resumed_run_of_the_same_length_keeps_its_plan() -> None:
    """Without a new length nothing changes."""
    assert extend(54, PLAN, PLAN, None) is None
    assert extend(154, PLAN, PLAN, Extension(54, 0.5)) == Extension(54, 0.5)
