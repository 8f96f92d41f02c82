"""How the next character is chosen.

Dimensions: B samples, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from charlm.config import SampleConfig
from charlm.errors import ArgumentError, CharlmError

DEFAULTS = SampleConfig()
"""The defaults of sampling: of a configuration, of the command line and of Python."""


@dataclass(frozen=True)
class Sampling:
    """How to choose the next character.

    Attributes:
        temperature: divides the logits, at least 0; 0 always takes the likeliest character, 1 leaves the model's
            probabilities as they are.
        top_k: choose among the k likeliest characters only, at least 1; None for all.
        top_p: choose among the fewest likeliest characters that together have this probability, above 0 to 1; None
            for all.

    Raises:
        ArgumentError: a value is out of its range.

    Source of top_p: Holtzman et al., ICLR 2020.
    """

    temperature: float = DEFAULTS.temperature
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ArgumentError("temperature", f"expected a number of at least 0, got {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise ArgumentError("top_k", f"expected a whole number of at least 1, got {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ArgumentError("top_p", f"expected a number above 0 and at most 1, got {self.top_p}.")

    def choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Choose the next character of each sample by inverting the cumulative distribution; ids (B,) int64.

        Args:
            logits: (B, V), on the CPU.
            uniforms: a random number in [0, 1) for each sample, (B,) float64, on the CPU.

        Raises:
            CharlmError: the logits are not finite.
        """
        if not bool(logits.isfinite().all()):
            raise CharlmError("the model's logits are not finite: its weights are broken, take an earlier checkpoint.")
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        # Shifted before the division: a tiny temperature cannot overflow.
        logits = (logits.double() - logits.double().amax(dim=-1, keepdim=True)) / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            likeliest = logits.topk(self.top_k, dim=-1).indices  # (B, k), even where more are equally likely
            logits = torch.full_like(logits, -torch.inf).scatter(1, likeliest, logits.gather(1, likeliest))
        probabilities = logits.softmax(dim=-1)
        if self.top_p is not None:
            probabilities = _keep_likeliest(probabilities, self.top_p)
        cumulative = probabilities.cumsum(dim=-1)  # (B, V)
        # Scaled by the total, which rounding and top_p leave different from 1; always below it.
        targets = uniforms[:, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, targets, right=True).squeeze(1)


def _keep_likeliest(probabilities: Tensor, top_p: float) -> Tensor:
    """Return (B, V) with zeros for all but the likeliest symbols that together reach top_p; at least one is left."""
    ordered, order = probabilities.sort(dim=-1, descending=True)
    is_beyond = ordered.cumsum(dim=-1) - ordered >= top_p
    return probabilities.masked_fill(torch.zeros_like(is_beyond).scatter(1, order, is_beyond), 0.0)
