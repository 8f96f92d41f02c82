"""What the layers of a model compute at every step of a text: gates, candidate, cell state, hidden state.

Dimensions: T time, E embedding, H hidden width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.lstm.cell import LSTMCell, lstm_step, split_gates
from charlm.model import CharLM


class Activations(NamedTuple):
    """What one layer computed at every step, each (T, H), in the order in which a step computes it.

    Attributes:
        f: forget gate, 0 to 1.
        i: input gate, 0 to 1.
        g: candidate values, -1 to 1.
        c: cell state after the step.
        o: output gate, 0 to 1.
        h: hidden state after the step, -1 to 1.
    """

    f: Tensor
    i: Tensor
    g: Tensor
    c: Tensor
    o: Tensor
    h: Tensor


@torch.no_grad()
def record_activations(model: CharLM, ids: Tensor) -> list[Activations]:
    """Step the cells of a model over a text from the zero state, without dropout; the model is not changed.

    Args:
        model: the model.
        ids: characters, (T,), at least one.

    Returns:
        One entry for each layer, the lowest layer first.
    """
    layers = []
    cells: Sequence[LSTMCell] = model.lstm.cells  # type: ignore[assignment]  # a ModuleList of cells
    x = model.embedding(ids.to(model.embedding.weight.device, torch.int64))[:, None]  # (T, 1, E)
    for cell, state in zip(cells, model.initial_state(1), strict=True):
        gates_x = cell.project(x)  # (T, 1, 4H)
        states = [state]
        for step in gates_x:
            states.append(lstm_step(step, cell.weight_hh, states[-1]))
        h, c = (torch.stack(each) for each in zip(*states, strict=True))  # (T + 1, 1, H)
        i, f, g, o = split_gates(gates_x + h[:-1] @ cell.weight_hh.T)
        x = h[1:]
        by_step = (f.sigmoid(), i.sigmoid(), g.tanh(), c[1:], o.sigmoid(), x)
        layers.append(Activations(*(each[:, 0] for each in by_step)))
    return layers
