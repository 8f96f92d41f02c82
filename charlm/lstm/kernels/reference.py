"""The kernel ``reference``: the cell's step in a loop, differentiated by autograd. The tests trust this one."""

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.lstm.cell import LSTMState, lstm_step
from charlm.lstm.kernels.lookup import Characters, Lookup, project_input


def run_layer(
    x: Tensor | Characters, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """Compute a layer over T steps; see the interface of all kernels."""
    return lstm_sequence(project_input(x, weight_ih, bias, F.linear), weight_hh, state)


def lstm_sequence(gates_x: Tensor | Lookup, weight_hh: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """Compute T steps.

    Args:
        gates_x: input projection, (T, B, 4H), T at least 1, or a lookup of it.
        weight_hh: recurrent weights, (4H, H).
        state: h and c before the first step, each (B, H); not modified.

    Returns:
        hidden (T, B, H) in the dtype of ``gates_x``, and the state after the last step.
    """
    if isinstance(gates_x, Lookup):
        gates_x = gates_x.materialize()
    weight_hh = weight_hh.to(gates_x.dtype)  # before the loop: inside it, autograd would save one copy per step
    outputs = []
    for step in gates_x:  # (B, 4H)
        state = lstm_step(step, weight_hh, state)
        outputs.append(state.h.to(gates_x.dtype))
    return torch.stack(outputs), state
