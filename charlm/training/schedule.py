"""The learning rate of every step: a linear warm-up, then a cosine, also in a run that is made longer."""

import math
from dataclasses import dataclass

from charlm.config import TrainConfig


@dataclass(frozen=True)
class Extension:
    """Where a run was made longer: a new cosine starts there.

    Attributes:
        step: steps taken before it.
        learning_rate: the rate at which the new cosine starts, the one that the former plan had reached.
    """

    step: int
    learning_rate: float


def learning_rate_at(step: int, config: TrainConfig, extension: Extension | None = None) -> float:
    """Return the learning rate of a step, steps counted from 0.

    It rises linearly to the peak and falls along half a cosine to the floor, which it reaches after the last step. In a
    run that was made longer a new half cosine leads from the rate that was reached to the same floor at the new end.

    Args:
        step: the number of the step.
        config: the plan, with the new ``max_steps`` where the run was made longer.
        extension: the latest one; None for a run that was not made longer.

    Source: Loshchilov & Hutter, ICLR 2017.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    start, rate = config.warmup_steps, config.learning_rate
    if extension is not None:
        start, rate = extension.step, extension.learning_rate
    floor = config.learning_rate * config.learning_rate_floor_frac
    progress = (step - start) / max(1, config.max_steps - start)
    return floor + (rate - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def extend(step: int, before: TrainConfig, now: TrainConfig, extension: Extension | None) -> Extension | None:
    """Return the extension of a run whose ``max_steps`` changed after a step, or the one that it had before.

    During the warm-up nothing of the cosine has passed, so the new plan applies as if it had been there from the start.

    Args:
        step: steps taken.
        before: the former plan.
        now: the new plan.
        extension: of the former plan.
    """
    if now.max_steps == before.max_steps or step <= now.warmup_steps:
        return extension
    return Extension(step, learning_rate_at(step, before, extension))
