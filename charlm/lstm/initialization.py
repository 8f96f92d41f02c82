"""The initial weights of a cell, sized so that every layer's pre-activations start at the same size.

A weight matrix that reads inputs of root mean square r has the standard deviation INPUT_SIZE / (r sqrt(fan-in)), so
that W x has the root mean square INPUT_SIZE. The first layer reads embeddings, whose r is 1. An upper layer reads the
hidden states of the layer below, whose r follows from the equations. With pre-activations z ~ N(0, q²), and a forget
bias b, a layer whose inputs are independent over time has

    E[c²] = E[σ(z)²] E[tanh(z)²] / (1 - E[σ(z + b)²]),   r² = E[σ(z)²] E[tanh(c)²]

and one whose inputs never change has c = σ(z) tanh(z') / (1 - σ(z'' + b)). Real inputs lie between the two: at q = 1
and b = -1 between r = 0.18 and 0.24, so one number serves for every layer and every text.

A forget bias b averages the input over about 1 / (1 - σ(b)) steps: 3.7 at b = 1, 1.4 at b = -1. The first layer reads
single characters and has to collect them, so its biases cover the range from -1 to 1. An upper layer reads what is
averaged already. With b = 1 in all layers the averaging adds up, until the upper layers start with nearly the same
output at every step.

Sources:
    Mishkin & Matas, ICLR 2016: every layer starts at a stated size (by measuring it on data).
    Jozefowicz, Zaremba & Sutskever, ICML 2015: a forget bias of 1; docs/initialization.md: what it does in a stack.
    Tallec & Ollivier, ICLR 2018: forget biases that cover a range of time scales.

Symbols: E width of the input, H hidden width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from charlm.lstm.cell import LSTMCell, split_gates

EMBEDDING_RMS = 1.0
"""Root mean square of the embeddings at the start."""

INPUT_SIZE = 1.0
"""Root mean square of W x at the start: the gates use half of their range, and tanh is not saturated."""

HIDDEN_RMS = 0.2
"""Root mean square of h at the start, in every layer."""

RECURRENT_GAIN = 1 / math.sqrt(3)
"""Standard deviation of U times sqrt(H): bounds of 1 / sqrt(H)."""

UPPER_FORGET_BIAS = -1.0
"""Initial bias of the forget gate in the upper layers."""

FIRST_FORGET_BIASES = (-1.0, 1.0)
"""The range of the initial biases of the forget gate in the first layer."""


def initialize_cells(cells: Sequence[LSTMCell], generator: torch.Generator | None) -> None:
    """Draw the weights of a stack of cells; all biases but the forget gates' are 0.

    Args:
        cells: from the lowest layer up, which reads embeddings; their weights change.
        generator: the source of randomness, on the CPU; None for torch's default one.
    """
    for depth, cell in enumerate(cells):
        draw_uniform(cell.weight_ih, INPUT_SIZE / (EMBEDDING_RMS if depth == 0 else HIDDEN_RMS), generator)
        draw_uniform(cell.weight_hh, RECURRENT_GAIN, generator)
        with torch.no_grad():
            _, forget, _, _ = split_gates(cell.bias.zero_())
            low, high = FIRST_FORGET_BIASES if depth == 0 else (UPPER_FORGET_BIAS, UPPER_FORGET_BIAS)
            forget.copy_(torch.linspace(low, high, cell.hidden_size))


@torch.no_grad()
def draw_uniform(weight: Tensor, gain: float, generator: torch.Generator | None) -> None:
    """Fill a matrix (rows, fan-in) with uniform numbers of standard deviation gain / sqrt(fan-in)."""
    bound = gain * math.sqrt(3 / weight.shape[1])
    weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def draw_normal(weight: Tensor, generator: torch.Generator | None) -> None:
    """Fill a matrix with normal numbers, scaled to a root mean square of exactly EMBEDDING_RMS."""
    weight.normal_(generator=generator)
    weight.mul_(EMBEDDING_RMS / weight.square().mean().sqrt())
