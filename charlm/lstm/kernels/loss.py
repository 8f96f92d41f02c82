"""The mean loss of a batch in C: the logits are read once, and their gradient is computed at the same time.

Dimensions: N positions, V vocabulary.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.errors import CharlmError, InputError
from charlm.lstm.kernels import native

BAD_TARGET = 2
"""What the C function returns if a target is not in the vocabulary."""

MeanLoss = Callable[[Tensor, Tensor], Tensor]
"""The mean negative log-likelihood of targets (N,) under logits (N, V), in nats, float32."""


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss by torch; see ``MeanLoss``."""
    return F.cross_entropy(logits.float(), targets)


def mean_loss(logits: Tensor, targets: Tensor, instruction_set: str | None = None) -> Tensor:
    """Return the mean loss by the C library; see ``MeanLoss``.

    Args:
        logits: (N, V), float32 or bfloat16.
        targets: (N,), int64.
        instruction_set: one of ``native.available_instruction_sets()``; None for the fastest one.

    Raises:
        InputError: a target is not in 0..V-1.
    """
    chosen = instruction_set or native.fastest_instruction_set()
    return MeanLossFunction.apply(logits, targets, chosen)  # type: ignore[no-any-return, no-untyped-call]


class MeanLossFunction(torch.autograd.Function):
    """The mean loss, whose gradient is computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, instruction_set: str) -> Tensor:
        """Return the mean loss; save its gradient."""
        logits, targets = logits.contiguous(), targets.contiguous()
        losses = torch.empty(len(logits))
        grad = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        pointers = (None if x is None else ctypes.c_void_p(x.data_ptr()) for x in (logits, targets, losses, grad))
        numbers = (*logits.shape, torch.get_num_threads(), logits.dtype == torch.bfloat16)
        compute = getattr(native.load_library(), f"loss_{instruction_set}")
        if result := compute(*pointers, *(ctypes.c_int64(int(n)) for n in numbers)):
            if result == BAD_TARGET:
                raise InputError(f"kernel cpu: targets must be in 0..{logits.shape[1] - 1}")
            raise CharlmError("out of memory in the loss")
        ctx.grad = grad
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the logits."""
        return ctx.grad if grad_loss == 1 else ctx.grad * grad_loss, None, None
