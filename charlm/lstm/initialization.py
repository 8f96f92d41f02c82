"""The initial weights of a cell.

Symbols: E width of the input, H hidden width.
"""

import math

import torch

from charlm.lstm.cell import LSTMCell, split_gates

FORGET_BIAS = 1.0
"""Initial bias of the forget gate, which keeps it open.

Source: Jozefowicz, Zaremba & Sutskever, ICML 2015.
"""


@torch.no_grad()
def initialize_cell(cell: LSTMCell, generator: torch.Generator | None) -> None:
    """Draw the weights of a cell: uniform within 1 / sqrt(fan-in), biases 0 but for the forget gate's.

    Args:
        cell: its weights change.
        generator: the source of randomness, on the CPU; None for torch's default one.
    """
    for weight in (cell.weight_ih, cell.weight_hh):
        bound = 1 / math.sqrt(weight.shape[1])
        weight.uniform_(-bound, bound, generator=generator)
    _, forget, _, _ = split_gates(cell.bias.zero_())
    forget.fill_(FORGET_BIAS)
