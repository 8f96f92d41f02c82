"""An exponential moving average of the weights; validation, samples and best.pt use it."""

import copy

import torch
from torch import Tensor

from charlm.model import CharLM


class WeightAverage:
    """Exponential moving average of a model's weights over the training steps.

    After step t (counted from 1): average = d(t) * average + (1 - d(t)) * weights, with d(t) = min(decay, t / (t + 9)).
    The lower decay at the start reduces the influence of the first steps, whose weights differ most from later ones.

    Source of this warm-up: TensorFlow's ExponentialMovingAverage, (1 + n) / (10 + n) after n updates.

    Attributes:
        model: a copy of the model with the averaged weights, in evaluation mode.

    Args:
        model: the model whose weights are averaged.
        decay: decay rate, above 0 and below 1.
    """

    def __init__(self, model: CharLM, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: CharLM, step: int) -> None:
        """Update the average with the weights after a step.

        Args:
            model: the model in training.
            step: number of the step, counted from 1.
        """
        decay = min(self.decay, step / (step + 9))
        averages: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(averages, list(model.parameters()), 1 - decay)
