"""The LSTM cell: one time step, written from its equations.

Dimensions: B batch, E input width, H hidden width.
Symbols: i input gate, f forget gate, g candidate values, o output gate, c cell state, h hidden state.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LSTMState(NamedTuple):
    """The recurrent state of an LSTM layer between two steps; never changed in place.

    Attributes:
        h: hidden state, which is also the layer's output at the previous step, (B, H).
        c: cell state, (B, H).
    """

    h: Tensor
    c: Tensor

    def detach(self) -> "LSTMState":
        """Return the same values, detached from the autograd graph."""
        return LSTMState(self.h.detach(), self.c.detach())


def split_gates(gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Split stacked gates (..., 4H) into i, f, g, o, each (..., H). Only this function knows their order."""
    i, f, g, o = gates.chunk(4, dim=-1)
    return i, f, g, o


def lstm_step(gates_x: Tensor, weight_hh: Tensor, state: LSTMState) -> LSTMState:
    """Advance by one step, given the input projection.

    Args:
        gates_x: input projection W x + b, (B, 4H); the recurrent product is computed in its dtype.
        weight_hh: recurrent weights U, (4H, H).
        state: h and c of the previous step, each (B, H); not modified.

    Returns:
        The next h and c, each (B, H), in the dtype of ``state``.
    """
    h, c = state
    pre_activations = gates_x + h.to(gates_x.dtype) @ weight_hh.to(gates_x.dtype).T  # (B, 4H)
    i, f, g, o = split_gates(pre_activations.to(c.dtype))
    i = torch.sigmoid(i)
    f = torch.sigmoid(f)
    g = torch.tanh(g)
    o = torch.sigmoid(o)
    c = f * c + i * g
    h = o * torch.tanh(c)
    return LSTMState(h, c)


class LSTMCell(nn.Module):
    """The weights of one LSTM layer, and its computation for one step.

    Args:
        input_size: E, at least 1.
        hidden_size: H, at least 1.

    Attributes:
        weight_ih: input weights W, (4H, E), rows stacked in the order i, f, g, o.
        weight_hh: recurrent weights U, (4H, H), rows stacked in the same order.
        bias: b, (4H,), in the same order.

    The weights are uninitialized until ``initialization.initialize_cells`` is called or a state dict is loaded.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))

    def project(self, x: Tensor) -> Tensor:
        """Return the input projection W x + b, (..., 4H), for x of (..., E)."""
        return F.linear(x, self.weight_ih, self.bias)

    def forward(self, x: Tensor, state: LSTMState) -> LSTMState:
        """Advance the LSTM by one time step.

        With σ the logistic function, ⊙ the elementwise product, and the rows of
        W (4H, E), U (4H, H) and b (4H,) stacked in the order i, f, g, o:

            i  = σ(W_i x + U_i h + b_i)       input gate: how much of g to write
            f  = σ(W_f x + U_f h + b_f)       forget gate: how much of c to keep
            g  = tanh(W_g x + U_g h + b_g)    candidate values
            o  = σ(W_o x + U_o h + b_o)       output gate: how much of c' to show
            c' = f ⊙ c + i ⊙ g
            h' = o ⊙ tanh(c')

        Args:
            x: input at this step, (B, E).
            state: h and c of the previous step, each (B, H); not modified.

        Returns:
            LSTMState(h', c'), each (B, H), in the dtype of ``state``. h' is the output.

        Sources:
            Hochreiter & Schmidhuber, Neural Computation 9(8), 1997: c, i, o.
            Gers, Schmidhuber & Cummins, Neural Computation 12(10), 2000: f.
        """
        return lstm_step(self.project(x), self.weight_hh, state)
