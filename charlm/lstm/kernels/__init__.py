"""Kernels: one LSTM layer over whole sequences. All kernels have the same interface.

    run_layer(x, weight_ih, weight_hh, bias, state) -> (hidden, state)

Dimensions: T time, B batch, E input width, H hidden width. ``x`` is the input (T, B, E), or the ``Characters`` whose
embeddings it is. ``weight_ih`` is (4H, E), ``weight_hh`` (4H, H) and ``bias`` (4H,). The state's tensors are (B, H) and
keep their dtype. ``hidden`` (T, B, H) has the dtype in which the products are computed: that of x, or autocast's if
autocast is enabled. No kernel changes its arguments.
"""

import functools
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import CharlmError, InputError
from charlm.lstm.cell import LSTMState
from charlm.lstm.kernels import cpu, fused, loss, native, projection, reference
from charlm.lstm.kernels.lookup import Characters, Projection
from charlm.lstm.kernels.sampler import Sampler


class LSTMKernel(Protocol):
    """The signature of every kernel."""

    def __call__(
        self, x: Tensor | Characters, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, state: LSTMState
    ) -> tuple[Tensor, LSTMState]:
        """Compute T steps from ``state``; return hidden (T, B, H) and the state after the last step."""
        ...


class Kernel(NamedTuple):
    """A kernel that can run on this machine.

    Attributes:
        name: its name in a configuration.
        note: its instruction set, or the reason why no faster kernel was chosen.
        is_bf16_fast: whether bfloat16 products are faster than float32 on this device.
        run_layer: a layer over a whole sequence.
        project: the product W x + b of all steps at once, as the output layer needs it.
        mean_loss: the loss of a batch, given its logits and targets.
        sampler: writes text with a whole model; None if the cell is stepped instead.
    """

    name: str
    note: str
    is_bf16_fast: bool
    run_layer: LSTMKernel
    project: Projection
    mean_loss: loss.MeanLoss
    sampler: type[Sampler] | None = None


KERNEL_NAMES = ("cpu", "torch", "reference")
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
        is_bf16_fast = _is_bf16_fast(device)
        return Kernel("reference", "as chosen", is_bf16_fast, reference.run_layer, F.linear, loss.cross_entropy)
    if name == "torch":
        return _fused("as chosen", device)
    reason = None
    if device.type != "cpu" or dtype != torch.float32:
        reason = f"the kernel cpu needs float32 weights on the CPU, got {str(dtype).removeprefix('torch.')} on {device}"
    else:
        try:
            chosen = native.fastest_instruction_set()
            is_bf16_fast = chosen in native.FAST_BF16
            return Kernel("cpu", chosen, is_bf16_fast, cpu.run_layer, projection.project, loss.mean_loss, Sampler)
        except CharlmError as error:
            reason = str(error)
    if name == "auto":
        return _fused(reason, device)
    raise InputError(f"kernel cpu: {reason}; or use the kernel torch.")


def _fused(note: str, device: torch.device) -> Kernel:
    return Kernel("torch", note, _is_bf16_fast(device), fused.run_layer, F.linear, loss.cross_entropy)


def _is_bf16_fast(device: torch.device) -> bool:
    """Return whether torch's bfloat16 products are faster than float32 on a device."""
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
