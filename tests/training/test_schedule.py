"""The learning rate of every step, also of a run that is made longer or stops early."""

import pytest

from charlm.config import TrainConfig
from charlm.training.schedule import Decay, cool_down, extend, learning_rate_at, plan_decay

PLAN = TrainConfig(learning_rate=1.0, learning_rate_floor_frac=0.1, warmup_steps=4, max_steps=104)
LATE = PLAN.model_copy(update={"decay_frac": 0.25})
PATIENT = PLAN.model_copy(update={"patience": 3, "max_steps": 120})


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0), (54, 0.55), (104, 0.1), (999, 0.1)],
)
def test_learning_rate(step: int, expected: float) -> None:
    """The rate rises linearly, then falls along a cosine to its floor."""
    assert learning_rate_at(step, PLAN, plan_decay(PLAN)) == pytest.approx(expected)


def test_learning_rate_without_warmup() -> None:
    """Without a warm-up the first step has the full rate."""
    plan = TrainConfig(learning_rate=0.5, warmup_steps=0)
    assert learning_rate_at(0, plan, plan_decay(plan)) == 0.5


@pytest.mark.parametrize(("step", "expected"), [(3, 1.0), (4, 1.0), (83, 1.0), (93, 0.55), (104, 0.1)])
def test_a_decay_at_the_end(step: int, expected: float) -> None:
    """With decay_frac the rate stays at its peak, and falls in the last steps only."""
    plan = PLAN.model_copy(update={"decay_frac": 21 / 104})
    assert plan_decay(plan) == Decay(83, 104, 1.0)
    assert learning_rate_at(step, plan, plan_decay(plan)) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(("decay_frac", "start"), [(1.0, 4), (0.99, 4), (0.5, 52), (0.0001, 103)])
def test_a_decay_follows_the_warm_up_and_has_a_step(decay_frac: float, start: int) -> None:
    """The rate does not fall in the warm-up, and falls in the last step at the latest."""
    assert plan_decay(PLAN.model_copy(update={"decay_frac": decay_frac})).start == start


def test_longer_run_starts_a_cosine_at_its_present_rate() -> None:
    """From the rate that was reached a new half cosine leads to the same floor at the new end."""
    longer = PLAN.model_copy(update={"max_steps": 254})
    decay = extend(54, PLAN, longer, plan_decay(PLAN))
    assert decay == Decay(54, 254, pytest.approx(0.55))
    rates = [learning_rate_at(step, longer, decay) for step in (54, 154, 254)]
    assert rates == pytest.approx([0.55, (0.55 + 0.1) / 2, 0.1])


def test_finished_run_continues_at_the_floor() -> None:
    """A run that had reached its floor stays there."""
    longer = PLAN.model_copy(update={"max_steps": 204})
    decay = extend(104, PLAN, longer, plan_decay(PLAN))
    assert [learning_rate_at(step, longer, decay) for step in (104, 150, 203)] == pytest.approx([0.1] * 3)


def test_second_extension_starts_from_the_first() -> None:
    """A run can be made longer again, and the rate is continuous each time."""
    second, third = (PLAN.model_copy(update={"max_steps": steps}) for steps in (254, 500))
    decay = extend(54, PLAN, second, plan_decay(PLAN))
    again = extend(154, second, third, decay)
    assert again == Decay(154, 500, learning_rate_at(154, second, decay))
    assert learning_rate_at(154, third, again) == pytest.approx(0.325)


def test_second_extension_at_the_same_step() -> None:
    """Where a run is made longer twice without a step between, the rate that it had reached is kept."""
    second, third = (PLAN.model_copy(update={"max_steps": steps}) for steps in (254, 500))
    assert extend(54, second, third, Decay(54, 254, 0.55)) == Decay(54, 500, pytest.approx(0.55))


@pytest.mark.parametrize(
    ("plan", "step"), [(PLAN, 0), (PLAN, 4), (LATE, 60), (PATIENT, 4), (PATIENT, 60), (PATIENT, 100)]
)
def test_before_the_decay_the_new_plan_applies_from_the_start(plan: TrainConfig, step: int) -> None:
    """As long as the planned decay has not started, a longer run is planned as if it had been so from the start."""
    longer = plan.model_copy(update={"max_steps": 254})
    assert extend(step, plan, longer, plan_decay(plan)) == plan_decay(longer)


def test_patience_with_a_shorter_decay() -> None:
    """A decay_frac below a sixth also shortens the decay of a run with patience; a greater one does not matter."""
    shorter = PATIENT.model_copy(update={"decay_frac": 0.1})
    assert plan_decay(shorter) == Decay(108, 120, 1.0)
    assert cool_down(90, shorter, plan_decay(shorter)) == Decay(90, 100, 1.0)
    assert plan_decay(PATIENT.model_copy(update={"decay_frac": 0.5})) == plan_decay(PATIENT)


@pytest.mark.parametrize("decay", [plan_decay(PLAN), Decay(54, 104, 0.5)])
def test_a_resumed_run_of_the_same_length_keeps_its_decay(decay: Decay) -> None:
    """Without a new length nothing changes."""
    assert extend(80, PLAN, PLAN, decay) == decay


@pytest.mark.parametrize(("step", "expected"), [(0, 0.25), (4, 1.0), (50, 1.0), (100, 1.0), (110, 0.55), (120, 0.1)])
def test_with_patience_the_peak_lasts_until_the_latest_cool_down(step: int, expected: float) -> None:
    """The rate stays at the peak for five sixths of the steps, and falls within a fifth of them to end at max_steps."""
    assert plan_decay(PATIENT) == Decay(100, 120, 1.0)
    assert learning_rate_at(step, PATIENT, plan_decay(PATIENT)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"max_steps": 2}, (4, 2)), ({"max_steps": 2, "warmup_steps": 0}, (1, 2)), ({"warmup_steps": 110}, (110, 120))],
)
def test_latest_cool_down_of_a_short_run(changes: dict[str, int], expected: tuple[int, int]) -> None:
    """The latest cool-down has at least one step, and does not start before the end of the warm-up."""
    decay = plan_decay(PATIENT.model_copy(update=changes))
    assert (decay.start, decay.end) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [(1, Decay(1, 2, 0.5)), (2, Decay(2, 3, 0.75)), (4, Decay(4, 5, 1.0)), (50, Decay(50, 60, 1.0)),
     (99, Decay(99, 119, 1.0))],
)  # fmt: skip
def test_cool_down(step: int, expected: Decay) -> None:
    """A cool-down falls from the rate that was reached, and takes a fifth of the steps before it, at least one."""
    assert cool_down(step, PATIENT, plan_decay(PATIENT)) == expected


@pytest.mark.parametrize(("warmup_steps", "step"), [(4, 101), (119, 102), (119, 118)])
def test_cool_down_ends_at_max_steps_at_the_latest(warmup_steps: int, step: int) -> None:
    """A cool-down does not exceed max_steps, even if it starts late in a long warm-up."""
    plan = PATIENT.model_copy(update={"max_steps": 122, "warmup_steps": warmup_steps})
    assert step < plan_decay(plan).start
    assert cool_down(step, plan, plan_decay(plan)).end == (121 if step == 101 else 122)


def test_cool_down_falls_to_the_floor() -> None:
    """The rate of a cool-down is continuous at its start, falls along half a cosine, and ends at the floor."""
    decay = cool_down(50, PATIENT, plan_decay(PATIENT))
    rates = [learning_rate_at(step, PATIENT, decay) for step in (49, 50, 55, 60)]
    assert rates == pytest.approx([1.0, 1.0, 0.55, 0.1])


def test_longer_run_after_an_early_stop_stays_at_the_floor() -> None:
    """An early-stopped run that is made longer continues from its rate, and ends at the new max_steps."""
    longer = PATIENT.model_copy(update={"max_steps": 240})
    decay = extend(60, PATIENT, longer, Decay(50, 60, 1.0))
    assert decay == Decay(60, 240, pytest.approx(0.1))
