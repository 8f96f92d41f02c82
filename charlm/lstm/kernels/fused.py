"""The kernel ``torch``: PyTorch's fused LSTM, by oneDNN on a CPU, cuDNN on NVIDIA's GPUs and Metal on Apple's.

Dimensions: T time, B batch, E input width, H hidden width.
"""

import warnings

import torch
from torch import Tensor

from charlm.lstm.cell import LSTMState
from charlm.lstm.kernels.lookup import Characters


def run_layer(
    x: Tensor | Characters, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """Compute a layer over T steps; see the interface of all kernels.

    The gates of ``torch.nn.LSTM`` have the same order. It has two biases, which are added; the second one is zero here.
    """
    x = x.materialize() if isinstance(x, Characters) else x
    hidden, h, c = _call(x, [weight_ih, weight_hh, bias, torch.zeros_like(bias)], state)
    return hidden, LSTMState(h[0].to(state.h.dtype), c[0].to(state.c.dtype))


def _call(x: Tensor, weights: list[Tensor], state: LSTMState) -> tuple[Tensor, Tensor, Tensor]:
    """Return hidden (T, B, H), and the last h and c, (1, B, H), in the dtype of x or of autocast."""
    first = [tensor.to(x.dtype).unsqueeze(0) for tensor in state]  # (1, B, H)
    with warnings.catch_warnings():
        # cuDNN copies weights that are separate tensors into one buffer; they are small beside the work of a sequence.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        return torch.lstm(
            x,
            first,
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),  # keeps what the backward pass needs
            bidirectional=False,
            batch_first=False,
        )
