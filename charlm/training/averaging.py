"""An exponential moving average of the weights, which is validated, sampled and kept in best.pt."""

import copy

import torch
from torch import Tensor

from charlm.model import CharLM


class WeightAverage:
    """The average of a model's weights over the steps of training.

    After step t (from 1) the average moves towards the weights by 1 - d(t), with d(t) = min(decay, t / (t + 9)): the
    first steps, whose weights are far from the later ones, are forgotten soon.

    Source of the warm-up: TensorFlow's ExponentialMovingAverage, (1 + n) / (10 + n) after n updates.

    Attributes:
        model: the model that has the averaged weights, in evaluation mode.

    Args:
        model: whose weights are averaged.
        decay: above 0 and below 1.
    """

    def __init__(self, model: CharLM, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: CharLM, step: int) -> None:
        """Take in the weights after a step, steps counted from 1."""
        decay = min(self.decay, step / (step + 9))
        averages: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(averages, list(model.parameters()), 1 - decay)
