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

BROKEN_LOGITS = "the model's logits are not finite: its weights are broken, take an earlier checkpoint."


@dataclass(frozen=True)
class Sampling:
    """How to choose the next character. Of equally likely characters, those with the lower id come first.

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
            raise CharlmError(BROKEN_LOGITS)
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        # Shifted before the division: a tiny temperature cannot overflow.
        logits = (logits.double() - logits.double().amax(dim=-1, keepdim=True)) / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            order = logits.argsort(dim=-1, descending=True, stable=True)
            logits = logits.scatter(1, order[:, self.top_k :], -torch.inf)
        weights = (
            logits.exp()
        )  # probabilities divided by the largest one, so that equal ones are added without rounding
        if self.top_p is not None:
            weights = _keep_likeliest(weights, self.top_p)
        cumulative = weights.cumsum(dim=-1)  # (B, V)
        targets = uniforms[:, None] * cumulative[:, -1:]  # below the total, also after rounding
        return torch.searchsorted(cumulative, targets, right=True).squeeze(1)


def _keep_likeliest(weights: Tensor, top_p: float) -> Tensor:
    """Return (B, V) with zeros for all but the likeliest symbols that together reach top_p; at least one is left."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    cumulative = ordered.cumsum(dim=-1)
    is_beyond = cumulative - ordered >= top_p * cumulative[:, -1:]
    return weights.masked_fill(torch.zeros_like(is_beyond).scatter(1, order, is_beyond), 0.0)
