"""Whole sequences through one LSTM layer, each kernel behind the same seam.

    lstm_sequence(gates_x, weight_hh, state) -> (hidden, state)

Dimensions: T time, B batch, H hidden width. ``gates_x`` (T, B, 4H) is the input's share of the gates, and its
dtype is that of the recurrent products; ``weight_hh`` is (4H, H); the state's tensors are (B, H) and keep their
dtype; ``hidden`` (T, B, H) has the dtype of ``gates_x``. No kernel changes its arguments.
"""

from typing import Protocol

from torch import Tensor

from charlm.lstm.cell import LSTMState
from charlm.lstm.kernels import reference


class LSTMKernel(Protocol):
    """The signature that every kernel has."""

    def __call__(self, gates_x: Tensor, weight_hh: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run T steps from ``state``; return hidden (T, B, H) and the state after the last step."""
        ...


KERNELS: dict[str, LSTMKernel] = {"reference": reference.lstm_sequence}
"""Every kernel that this machine can run, the fastest first."""


def choose_kernel(name: str) -> str:
    """Return the kernel to use for a name, ``auto`` standing for the fastest that the machine has.

    Args:
        name: ``auto`` or a key of ``KERNELS``.
    """
    return next(iter(KERNELS)) if name == "auto" else name
