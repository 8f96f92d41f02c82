"""Tuning: the trials of an arm, the best one, and when the search goes on beyond its range of learning rates.

The trials use a seed that no run of the comparison uses, so that the results are not biased by the selection.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from charlm.comparison.search import RATE, Values

TrialState = Literal["complete", "pruned", "diverged", "unfinished"]

EDGE_FACTOR = 10**0.1
"""A trial lies beyond another one if their learning rates differ by this factor or more."""

EXTENSION_FACTOR = 10**0.5
"""Learning rate of an extension's trial, as a multiple of the best one or its inverse."""

NUM_BEST_TRIALS = 3
"""The best trials whose spread says how exact the tuning is."""

MAX_EXTENSIONS = 4
"""Trials beyond the range that an arm may have in all; four of half a decade are two decades."""


@dataclass(frozen=True)
class Trial:
    """One trial of an arm.

    Attributes:
        number: counted from 1.
        values: what it trains with, by configuration key.
        state: ``complete``; ``pruned``: it was ended early, since its validation losses were above the median;
            ``diverged``: its loss or its gradient was not finite; ``unfinished``: it has not ended.
        val_loss_nats: lowest validation loss in nats per character; None before the first validation.
        is_extension: whether it was made because the best learning rate was at an edge.
    """

    number: int
    values: Values
    state: TrialState
    val_loss_nats: float | None
    is_extension: bool = False


def find_best(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the lowest validation loss; None if no trial is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return min(complete, key=_loss, default=None)


def _loss(trial: Trial) -> float:
    return math.inf if trial.val_loss_nats is None else trial.val_loss_nats


def find_edge(trials: Sequence[Trial]) -> Literal["lowest", "highest"] | None:
    """Return at which edge of the tried learning rates the best trial is; None if it lies inside, or there is none.

    It lies inside if other trials lie beyond it on both sides. Pruned trials do not count: the losses of high rates
    fall late, so that the early end of such a trial says little about its last loss.
    """
    best = find_best(trials)
    if best is None:
        return None
    rates = [trial.values[RATE] for trial in trials if trial.state in ("complete", "diverged")]
    if max(rates) < best.values[RATE] * EDGE_FACTOR:
        return "highest"
    return "lowest" if min(rates) > best.values[RATE] / EDGE_FACTOR else None


def measure_spread(trials: Sequence[Trial]) -> float | None:
    """Return how much higher the loss of the third-best complete trial is than that of the best, in nats.

    With two complete trials it is the second-best; None for fewer.
    """
    losses = sorted(_loss(trial) for trial in trials if trial.state == "complete")
    return losses[:NUM_BEST_TRIALS][-1] - losses[0] if len(losses) > 1 else None


def plan_extension(trials: Sequence[Trial]) -> Values | None:
    """Return the values of the next trial beyond the edge; None if the best trial lies inside or the limit is reached.

    They are those of the best trial, but for a learning rate further outside.
    """
    best, edge = find_best(trials), find_edge(trials)
    if best is None or edge is None or sum(trial.is_extension for trial in trials) >= MAX_EXTENSIONS:
        return None
    factor = EXTENSION_FACTOR if edge == "highest" else 1 / EXTENSION_FACTOR
    return best.values | {RATE: best.values[RATE] * factor}


def tuning_seed(seeds: Sequence[int]) -> int:
    """Return the seed of the trials: the smallest one from 0 on that no run uses."""
    return min(set(range(len(seeds) + 1)) - set(seeds))
