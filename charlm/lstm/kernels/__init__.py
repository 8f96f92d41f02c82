"""Kernels: one LSTM layer over whole sequences. All kernels have the same interface.

    lstm_sequence(gates_x, weight_hh, state) -> (hidden, state)

Dimensions: T time, B batch, H hidden width. ``gates_x`` (T, B, 4H) is the input projection W x + b, or a ``Lookup`` of
it; the recurrent products are computed in its dtype. ``weight_hh`` is (4H, H). The state's tensors are (B, H) and keep
their dtype. ``hidden`` (T, B, H) has the dtype of ``gates_x``. No kernel changes its arguments.
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
    """The signature of every kernel."""

    def __call__(self, gates_x: Tensor | Lookup, weight_hh: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Compute T steps from ``state``; return hidden (T, B, H) and the state after the last step."""
        ...


class Kernel(NamedTuple):
    """A kernel that can run on this machine.

    Attributes:
        name: its name in a configuration.
        note: its instruction set, or the reason why no faster kernel was chosen.
        is_bf16_fast: whether bfloat16 products are faster than float32 on this device.
        lstm_sequence: the recurrence over a whole sequence.
        project: the projection W x + b of all steps at once, given x (T, B, E), W (G, E) and b (G,).
    """

    name: str
    note: str
    is_bf16_fast: bool
    lstm_sequence: LSTMKernel
    project: Callable[[Tensor, Tensor, Tensor], Tensor]


KERNEL_NAMES = ("cpu", "reference")
"""All kernels, from fastest to slowest."""


@functools.cache
def choose_kernel(name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Kernel:
    """Return a kernel by name; ``auto`` selects the fastest kernel that supports this machine, device and dtype.

    The first call with ``cpu`` or ``auto`` may compile the C sources, which takes some seconds.

    Args:
        name: ``auto`` or one of ``KERNEL_NAMES``.
        device: device of the weights.
        dtype: dtype of the weights.

    Raises:
        InputError: no kernel has this name, or the named kernel cannot run here.
    """
    if name not in ("auto", *KERNEL_NAMES):
        raise InputError(f"kernel {name!r}: no kernel has this name; use one of auto, {', '.join(KERNEL_NAMES)}.")
    device = torch.device(device)
    if name == "reference":
        return _reference("as chosen", device)
    reason = None
    if device.type != "cpu" or dtype != torch.float32:
        reason = f"the kernel cpu needs float32 weights on the CPU, got {str(dtype).removeprefix('torch.')} on {device}"
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
