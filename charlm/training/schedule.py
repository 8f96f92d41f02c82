"""The learning rate of every step, and with it the end of a run: a linear warm-up, the peak, then half a cosine."""

import math
from dataclasses import dataclass

from charlm.config import TrainConfig

MAX_PATIENT_DECAY_FRAC = 1 / 6
"""Largest ``decay_frac`` that a run with ``patience`` uses: its peak lasts until the loss stops falling.

Source: Hägele et al., NeurIPS 2024: a constant rate with such a decay does about as well as a cosine over all steps.
"""


@dataclass(frozen=True)
class Decay:
    """The fall of the learning rate to its floor along half a cosine; the run ends with it.

    Attributes:
        start: number of steps before it.
        end: number of steps of the whole run.
        learning_rate: the rate from which it falls.
    """

    start: int
    end: int
    learning_rate: float


def plan_decay(config: TrainConfig) -> Decay:
    """Return the decay of a run that is neither stopped early nor made longer.

    It takes ``decay_frac`` of the steps, at least one, none of the warm-up. With ``patience`` it is as late as a
    cool-down that ends at ``max_steps``.
    """
    latest = min(config.max_steps - 1, round(config.max_steps * (1 - _decay_frac(config))))
    return Decay(max(config.warmup_steps, latest), config.max_steps, config.learning_rate)


def learning_rate_at(step: int, config: TrainConfig, decay: Decay) -> float:
    """Return the learning rate of a step, steps counted from 0.

    It rises linearly to the peak, stays there until the decay, and reaches the floor after the last step.

    Args:
        step: the number of the step; not before an earlier decay that ``decay`` replaced.
        config: the peak, the floor and the warm-up.
        decay: the end of the run.

    Source: Loshchilov & Hutter, ICLR 2017: the cosine.
    """
    if step >= decay.start:
        floor = config.learning_rate * config.learning_rate_floor_frac
        progress = (step - decay.start) / max(1, decay.end - decay.start)
        return floor + (decay.learning_rate - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    return config.learning_rate


def cool_down(step: int, config: TrainConfig, decay: Decay) -> Decay:
    """Return the decay of a run whose patience has run out after a step: it starts there, and ends the run early.

    Args:
        step: steps taken, fewer than ``decay.start``.
        config: the configuration of the run.
        decay: the one that was planned.
    """
    frac = _decay_frac(config)
    length = max(1, round(step * frac / (1 - frac)))
    return Decay(step, min(step + length, config.max_steps), learning_rate_at(step, config, decay))


def _decay_frac(config: TrainConfig) -> float:
    """Return the fraction of the steps of a run, from 0 to 1, that the decay takes."""
    return min(config.decay_frac, MAX_PATIENT_DECAY_FRAC) if config.patience > 0 else config.decay_frac


def extend(step: int, before: TrainConfig, now: TrainConfig, decay: Decay) -> Decay:
    """Return the decay of a run whose ``max_steps`` changed after a step, or the one that it had before.

    Where the planned decay has not started, the new plan applies as if it had been there from the start. Otherwise a
    new decay falls from the rate that was reached to the same floor at the new end.

    Args:
        step: steps taken.
        before: the former configuration.
        now: the new configuration.
        decay: of the former configuration.
    """
    if now.max_steps == before.max_steps:
        return decay
    if step <= decay.start and decay == plan_decay(before):
        return plan_decay(now)
    return Decay(step, now.max_steps, learning_rate_at(step, before, decay))
