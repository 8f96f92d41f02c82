"""Whole sequences through one LSTM layer, each kernel behind the same seam.

    lstm_sequence(gates_x, weight_hh, state) -> (hidden, state)

Dimensions: T time, B batch, H hidden width. ``gates_x`` (T, B, 4H) is the input's share of the gates, or a ``Lookup``
that stands for it, and its dtype is that of the recurrent products; ``weight_hh`` is (4H, H); the state's tensors are
(B, H) and keep their dtype; ``hidden`` (T, B, H) has the dtype of ``gates_x``. No kernel changes its arguments.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import CharlmError, InputError
from charlm.lstm.cell import LSTMState
from charlm.lstm.kernels import cpu, native, projection, reference
from charlm.lstm.kernels.lookup import Lookup


class LSTMKernel(Protocol):
    """The signature that every kernel has."""

    def __call__(self, gates_x: Tensor | Lookup, weight_hh: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run T steps from ``state``; return hidden (T, B, H) and the state after the last step."""
        ...


class Kernel(NamedTuple):
    """A kernel that runs here.

    Attributes:
        name: what a configuration calls it.
        note: how it runs, or why no faster one does, in a few words.
        is_bf16_fast: whether it gains by bfloat16 products on this device.
        lstm_sequence: the kernel.
        project: W x + b for all steps at once, given x (T, B, E), W (G, E) and b (G,).
    """

    name: str
    note: str
    is_bf16_fast: bool
    lstm_sequence: LSTMKernel
    project: Callable[[Tensor, Tensor, Tensor], Tensor]


KERNEL_NAMES = ("cpu", "reference")
"""Every kernel, the fastest first."""


@functools.cache
def choose_kernel(name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Kernel:
    """Return the kernel of a name; ``auto`` takes the fastest that this machine, device and dtype have.

    The first choice of ``cpu`` or ``auto`` may take the seconds in which its C sources are compiled.

    Args:
        name: ``auto`` or one of ``KERNEL_NAMES``.
        device: where the weights are.
        dtype: of the weights.

    Raises:
        InputError: there is no such kernel, or it is named and cannot run here.
    """
    if name not in ("auto", *KERNEL_NAMES):
        raise InputError(f"kernel {name!r}: there is no such kernel; use one of auto, {', '.join(KERNEL_NAMES)}.")
    device = torch.device(device)
    if name == "reference":
        return _reference("as chosen", device)
    reason = None
    if device.type != "cpu" or dtype != torch.float32:
        reason = f"the kernel cpu takes float32 weights on the CPU, not {str(dtype).removeprefix('torch.')} on {device}"
    else:
        try:
            chosen = native.fastest_instruction_set()
            is_bf16_fast = chosen in native.FAST_BF16
            return Kernel("cpu", chosen, is_bf16_fast, cpu.lstm_sequence, projection.project)
        except CharlmError as error:
            reason = str(error)
    if name == "auto":
        return _reference(reason, device)
    raise InputError(f"kernel cpu: {reason}; or use the kernel reference.")


def _reference(note: str, device: torch.device) -> Kernel:
    is_bf16_fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return Kernel("reference", note, is_bf16_fast, reference.lstm_sequence, F.linear)
