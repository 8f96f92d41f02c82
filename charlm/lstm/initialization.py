"""The initial weights of a cell, sized so that every layer's pre-activations start at the same size.

A weight matrix that reads inputs of root mean square r has the standard deviation INPUT_SIZE / (r sqrt(fan-in)), so
that W x has the root mean square INPUT_SIZE. The first layer reads embeddings, whose r is 1. An upper layer reads the
hidden states of the layer below, whose r follows from the equations. With pre-activations z ~ N(0, q²), and a forget
bias b, a layer whose inputs are independent over time has

    E[c²] = E[σ(z)²] E[tanh(z)²] / (1 - E[σ(z + b)²]),   r² = E[σ(z)²] E[tanh(c)²]

and one whose inputs never change has c = σ(z) tanh(z') / (1 - σ(z'' + b)). Real inputs lie between the two. At
b = -1 and q = 1 the two give r = 0.18 and 0.24, so one number serves for every layer and every text; at b = 1 they give
0.22 and 0.39, and the size of a deep layer's input depends on its depth. A forget bias b also smooths the input over
about 1 / (1 - σ(b)) steps: 3.7 at b = 1, 1.4 at b = -1. In a stack the smoothing adds up, until the upper layers start
with nearly the same output at every step.

Sources:
    Mishkin & Matas, ICLR 2016: every layer starts at a stated size (by measuring it on data).
    Jozefowicz, Zaremba & Sutskever, ICML 2015: the forget bias matters. They recommend 1; see docs/initialization.md.

Symbols: E width of the input, H hidden width.
"""

import math

import torch
from torch import Tensor

from charlm.lstm.cell import LSTMCell, split_gates

INPUT_SIZE = 1.0
"""Root mean square of W x at the start: the gates use half of their range, and tanh is not saturated."""

HIDDEN_RMS = 0.2
"""Root mean square of h at the start, in every layer."""

RECURRENT_GAIN = 1 / math.sqrt(3)
"""Standard deviation of U times sqrt(H): bounds of 1 / sqrt(H)."""

FORGET_BIAS = -1.0
"""Initial bias of the forget gate."""


def initialize_cell(cell: LSTMCell, input_rms: float, generator: torch.Generator | None) -> None:
    """Draw the weights of a cell; all biases but the forget gate's are 0.

    Args:
        cell: its weights change.
        input_rms: root mean square of the cell's inputs: 1 for embeddings, ``HIDDEN_RMS`` for hidden states.
        generator: the source of randomness, on the CPU; None for torch's default one.
    """
    draw_uniform(cell.weight_ih, INPUT_SIZE / input_rms, generator)
    draw_uniform(cell.weight_hh, RECURRENT_GAIN, generator)
    with torch.no_grad():
        _, forget, _, _ = split_gates(cell.bias.zero_())
        forget.fill_(FORGET_BIAS)


@torch.no_grad()
def draw_uniform(weight: Tensor, gain: float, generator: torch.Generator | None) -> None:
    """Fill a matrix (rows, fan-in) with uniform numbers of standard deviation gain / sqrt(fan-in)."""
    bound = gain * math.sqrt(3 / weight.shape[1])
    weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def draw_normal(weight: Tensor, generator: torch.Generator | None) -> None:
    """Fill a matrix with normal numbers, scaled to a root mean square of exactly 1."""
    weight.normal_(generator=generator)
    weight.div_(weight.square().mean().sqrt())
