"""Dynamic evaluation: a copy of the model learns from every stretch of a text after the stretch has been scored.

    θ ← θ − η g / (√m + ε) + λ r (θ₀ − θ)

with g the gradient of the mean loss of the stretch, m the mean square of such gradients over the training part,
r = √m divided by its mean over all weights, λ r at most 1, and θ₀ the trained weights.

Source: Krause, Kahembwe, Murray & Renals, Dynamic Evaluation of Neural Sequence Models, ICML 2018.

Dimensions: N characters, T characters of a stretch.
"""

import copy
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.inference.evaluation import Evaluation, Text
from charlm.model import CharLM

STRETCH_LENGTH = 32
"""T: characters that are scored before the weights learn from them."""

EPSILON = 0.1
"""ε, relative to the mean of √m over all weights: a weight that hardly ever had a gradient moves little."""

STATISTICS_CHARS = 65_536
"""Characters of the training part over which m is measured, its last ones."""

TUNING_CHARS = 16_384
"""Characters of the training part on which η and λ are chosen, those before the ones of the statistics."""

FIRST_RATE, FIRST_DECAY = 1e-4, 1e-3
"""Where the search for η and λ starts; it continues by factors of 2 until the loss rises."""


class Adaptation(NamedTuple):
    """How the weights learn while a text is evaluated.

    Attributes:
        learning_rate: η, above 0.
        decay: λ, 0 to 1: how fast the weights return to the trained ones.
    """

    learning_rate: float
    decay: float


class DynamicEvaluator:
    """Dynamic evaluation of one model; the model itself is never changed.

    Args:
        model: any model.
        train: ids of the text that it was trained on, (N,), N at least 2; m, η and λ come from its end alone.

    Raises:
        InputError: the text has fewer than 2 characters.
        CharlmError: the loss is not a number.
    """

    def __init__(self, model: CharLM, train: Text) -> None:
        self._model = model
        num_statistics = min(STATISTICS_CHARS, len(train) // 2)
        end = len(train) - num_statistics
        root_mean_squares = self._measure_gradients(train[end - 1 if end else 0 : len(train)])
        mean = sum(float(root.sum()) for root in root_mean_squares) / sum(root.numel() for root in root_mean_squares)
        self._scales = [1 / (root + EPSILON * mean) for root in root_mean_squares]
        self._pulls = [root / mean for root in root_mean_squares]
        self.adaptation = self._tune(train[max(0, end - TUNING_CHARS) : end])

    def evaluate(self, ids: Text, adaptation: Adaptation | None = None) -> Evaluation:
        """Measure the loss of a text, each character scored before the weights may learn from it.

        Args:
            ids: the text, (N,), N at least 2.
            adaptation: how the weights learn; None for what was chosen on the training part.

        Raises:
            InputError: the text has fewer than 2 characters.
            CharlmError: the loss is not a number.
        """
        rate, decay = adaptation or self.adaptation
        trained = [weight.detach() for weight in self._model.parameters()]
        pulls = [(decay * pull).clamp(max=1.0) for pull in self._pulls]
        learner = copy.deepcopy(self._model).eval()
        weights: list[Tensor] = list(learner.parameters())
        total = 0.0
        for loss, gradients, num_chars in _gradients(learner, ids):
            total += loss * num_chars
            with torch.no_grad():
                torch._foreach_lerp_(weights, trained, pulls)
                torch._foreach_addcmul_(weights, gradients, self._scales, value=-rate)
        if not math.isfinite(total):
            raise CharlmError("the loss of the dynamic evaluation is not a number.")
        return Evaluation(total / (len(ids) - 1), len(ids) - 1)

    def _measure_gradients(self, ids: Text) -> list[Tensor]:
        """Return √m of every weight."""
        model = copy.deepcopy(self._model).eval()
        sums = [torch.zeros_like(weight) for weight in model.parameters()]
        count = 0
        for _, gradients, _ in _gradients(model, ids):
            torch._foreach_addcmul_(sums, gradients, gradients)
            count += 1
        return [(total / count).sqrt() for total in sums]

    def _tune(self, ids: Text) -> Adaptation:
        """Return the rate, and then the decay, with the least loss."""

        def loss_of(rate: float, decay: float) -> float:
            return self.evaluate(ids, Adaptation(rate, decay)).loss_nats

        rate = _descend(lambda value: loss_of(value, 0.0), FIRST_RATE)
        decay = _descend(lambda value: loss_of(rate, value), FIRST_DECAY)
        return Adaptation(rate, decay if loss_of(rate, decay) < loss_of(rate, 0.0) else 0.0)


def _gradients(model: CharLM, ids: Text) -> Iterator[tuple[float, list[Tensor], int]]:
    """Yield the mean loss of each stretch, its gradient by weight, and its length; the state is carried.

    Raises:
        InputError: the text has fewer than 2 characters.
    """
    if len(ids) < 2:
        raise InputError(f"a text of {len(ids)} characters has nothing to predict; give at least 2.")
    weights = list(model.parameters())
    states = model.initial_state(1)
    for start in range(0, len(ids) - 1, STRETCH_LENGTH):
        row = ids[start : start + STRETCH_LENGTH + 1].to(weights[0].device, torch.int64)[None]  # (1, T + 1)
        logits, states = model(row[:, :-1], states)
        loss = model.mean_loss(logits, row[:, 1:])
        gradients = torch.autograd.grad(loss, weights)
        states = tuple(state.detach() for state in states)
        yield loss.item(), list(gradients), row.shape[1] - 1


def _descend(loss_of: Callable[[float], float], start: float) -> float:
    """Return the value with the least loss on a walk from ``start`` by factors of 2 that ends where the loss rises."""
    losses = {start: loss_of(start)}
    for factor in (2.0, 0.5):
        value = start
        while losses[value] == min(losses.values()) and 1e-9 < value < 1:
            value *= factor
            losses[value] = loss_of(value)
    return min(losses, key=losses.__getitem__)
