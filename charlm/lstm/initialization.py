"""Initialization of a cell's weights."""

import math

import torch

from charlm.lstm.cell import LSTMCell, split_gates

FORGET_BIAS = 1.0
"""Initial bias of the forget gate, which keeps the gate mostly open.

Source: Jozefowicz, Zaremba & Sutskever, ICML 2015.
"""


@torch.no_grad()
def initialize_cell(cell: LSTMCell, generator: torch.Generator | None) -> None:
    """Initialize the weights of a cell in place.

    Weights are uniform in ±1 / sqrt(fan-in). Biases are 0, except those of the forget gate, which are ``FORGET_BIAS``.

    Args:
        cell: the cell to initialize.
        generator: random generator on the CPU; None for torch's default generator.
    """
    for weight in (cell.weight_ih, cell.weight_hh):
        bound = 1 / math.sqrt(weight.shape[1])
        weight.uniform_(-bound, bound, generator=generator)
    _, forget, _, _ = split_gates(cell.bias.zero_())
    forget.fill_(FORGET_BIAS)
