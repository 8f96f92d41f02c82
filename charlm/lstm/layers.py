"""A stack of LSTM layers over whole sequences.

Dimensions: T time, B batch, E width of the input, H hidden width, L layers. Everything here is time-major.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from charlm.lstm.cell import LSTMCell, LSTMState
from charlm.lstm.initialization import initialize_cell
from charlm.lstm.kernels import Kernel, choose_kernel
from charlm.lstm.kernels.lookup import Lookup

States = tuple[LSTMState, ...]
"""One state a layer, the lowest layer first."""


def drop_locked(hidden: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
    """Zero whole features of (T, B, H) at random, the same features at every step of a sequence.

    Args:
        hidden: the output of a layer, (T, B, H).
        dropout: fraction of the features to zero, 0 to below 1; the others are scaled up to keep the mean.
        generator: the source of randomness, on the CPU, so that the masks are the same on every device; None for
            torch's default one.

    Source: Gal & Ghahramani, NeurIPS 2016.
    """
    if dropout == 0:
        return hidden
    kept = torch.empty(1, *hidden.shape[1:], dtype=hidden.dtype)  # (1, B, H)
    return hidden * (kept.bernoulli_(1 - dropout, generator=generator) / (1 - dropout)).to(hidden.device)


class LSTM(nn.Module):
    """L layers of LSTM, each reading the hidden states of the one below.

    Args:
        input_size: E, at least 1.
        hidden_size: H of every layer, at least 1.
        num_layers: L, at least 1.
        dropout: share of each layer's features dropped in training, 0 to below 1.
        kernel: ``auto`` or the name of a kernel.
        generator: draws the initial weights, on the CPU; None for torch's default one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float = 0.0,
        kernel: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(LSTMCell(width, hidden_size) for width in widths)
        for cell in self._cells():
            initialize_cell(cell, generator)
        self.dropout = dropout
        self._kernel_name = kernel
        choose_kernel(kernel)  # one that is named and cannot run says so now, not in the first step

    @property
    def kernel(self) -> Kernel:
        """What runs whole sequences on the device, and in the dtype, that the weights now have."""
        weight = self._cells()[0].weight_hh
        return choose_kernel(self._kernel_name, weight.device, weight.dtype)

    def initial_state(self, batch_size: int) -> States:
        """Return zeros, (B, H) each, on the weights' device and in their dtype."""
        return tuple(
            LSTMState(*cell.weight_hh.new_zeros(2, batch_size, cell.hidden_size).unbind()) for cell in self._cells()
        )

    def forward(
        self, gates_x: Tensor | Lookup, states: Sequence[LSTMState], generator: torch.Generator | None = None
    ) -> tuple[Tensor, States]:
        """Run whole sequences.

        Args:
            gates_x: the input's share of the first layer's gates, (T, B, 4H), made by ``cells[0].project``, or the
                lookup of it.
            states: one state a layer, each (B, H); not modified.
            generator: draws the dropout masks in training mode, on the CPU; None for torch's default one.

        Returns:
            The last layer's hidden states (T, B, H), and the states after the last step.
        """
        kernel = self.kernel
        dropout = self.dropout if self.training else 0.0
        first, *upper = zip(self._cells(), states, strict=True)
        hidden, state = kernel.lstm_sequence(gates_x, first[0].weight_hh, first[1])  # (T, B, H)
        after = [state]
        for cell, state in upper:
            hidden = drop_locked(hidden, dropout, generator)
            gates_x = kernel.project(hidden, cell.weight_ih, cell.bias)  # (T, B, 4H)
            hidden, state = kernel.lstm_sequence(gates_x, cell.weight_hh, state)  # (T, B, H)
            after.append(state)
        return drop_locked(hidden, dropout, generator), tuple(after)

    def step(self, x: Tensor, states: Sequence[LSTMState]) -> tuple[Tensor, States]:
        """Advance every cell by one step, without dropout.

        Args:
            x: input at this step, (B, E).
            states: one state a layer, each (B, H); not modified.

        Returns:
            The last layer's hidden state (B, H), and the states after the step.
        """
        after = []
        for cell, state in zip(self._cells(), states, strict=True):
            state = cell(x, state)
            x = state.h
            after.append(state)
        return x, tuple(after)

    def _cells(self) -> Sequence[LSTMCell]:
        return self.cells  # type: ignore[return-value]  # a ModuleList of cells is a sequence of them
