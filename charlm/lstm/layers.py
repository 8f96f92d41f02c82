"""A stack of LSTM layers over whole sequences.

Dimensions: T time, B batch, E input width, H hidden width, L layers. All tensors are time-major.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from charlm.lstm.cell import LSTMCell, LSTMState
from charlm.lstm.dropout import apply_locked_dropout, drop_connections
from charlm.lstm.initialization import initialize_cells
from charlm.lstm.kernels import Kernel, choose_kernel
from charlm.lstm.kernels.lookup import Characters

States = tuple[LSTMState, ...]
"""The state of each layer, from the lowest layer up."""


class LSTM(nn.Module):
    """A stack of L LSTM layers; the input of an upper layer is the hidden states of the layer below.

    Args:
        input_size: E, at least 1.
        hidden_size: H of every layer, at least 1.
        num_layers: L, at least 1.
        dropout: dropout probability of the output of each layer but the last in training, 0 to below 1.
        dropconnect: dropout probability of each recurrent weight in training, 0 to below 1.
        kernel: ``auto`` or the name of a kernel.
        generator: random generator of the initial weights, on the CPU; None for torch's default generator.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float = 0.0,
        dropconnect: float = 0.0,
        kernel: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(LSTMCell(width, hidden_size) for width in widths)
        initialize_cells(self._cells(), generator)
        self.dropout = dropout
        self.dropconnect = dropconnect
        self._kernel_name = kernel
        choose_kernel(kernel)  # raises now, not in the first step, if the named kernel cannot run

    @property
    def kernel(self) -> Kernel:
        """The kernel for the current device and dtype of the weights."""
        weight = self._cells()[0].weight_hh
        return choose_kernel(self._kernel_name, weight.device, weight.dtype)

    def initial_state(self, batch_size: int) -> States:
        """Return zero states, each tensor (B, H), on the device and in the dtype of the weights."""
        return tuple(
            LSTMState(*cell.weight_hh.new_zeros(2, batch_size, cell.hidden_size).unbind()) for cell in self._cells()
        )

    def forward(
        self, x: Tensor | Characters, states: Sequence[LSTMState], generator: torch.Generator | None = None
    ) -> tuple[Tensor, States]:
        """Run whole sequences.

        Args:
            x: input of the first layer, (T, B, E), or the characters whose embeddings it is.
            states: one state per layer, each tensor (B, H); not modified.
            generator: random generator of the masks in training mode, on the CPU; None for torch's default generator.

        Returns:
            The last layer's hidden states (T, B, H), and the states after the last step.
        """
        first, *upper = zip(self._cells(), states, strict=True)  # pairs of a cell and its state
        hidden, state = self._run_layer(*first, x, generator)  # (T, B, H)
        after = [state]
        for pair in upper:
            hidden = apply_locked_dropout(hidden, self.dropout if self.training else 0.0, generator)
            hidden, state = self._run_layer(*pair, hidden, generator)  # (T, B, H)
            after.append(state)
        return hidden, tuple(after)

    def _run_layer(
        self, cell: LSTMCell, state: LSTMState, x: Tensor | Characters, generator: torch.Generator | None
    ) -> tuple[Tensor, LSTMState]:
        """Run one layer over whole sequences; in training, with DropConnect."""
        weight_hh = drop_connections(cell.weight_hh, self.dropconnect if self.training else 0.0, generator)
        return self.kernel.run_layer(x, cell.weight_ih, weight_hh, cell.bias, state)

    def step(self, x: Tensor, states: Sequence[LSTMState]) -> tuple[Tensor, States]:
        """Advance all layers by one step, without dropout.

        Args:
            x: input at this step, (B, E).
            states: one state per layer, each tensor (B, H); not modified.

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
        return self.cells  # type: ignore[return-value]  # a ModuleList has no element type
