"""Rows of a table by their numbers: the first layer's gates, when its input is a character.

Dimensions: T time, B batch, V rows of the table, G columns (four gates of every hidden unit).
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.lstm.kernels import native


def look_up_rows(table: Tensor, ids: Tensor) -> Tensor:
    """Return the rows of ``table`` (V, G) at ``ids`` (T, B): (T, B, G), in the table's dtype.

    The gradient of a row is summed in float32 and rounded once. It must run where the kernel cpu does.

    Args:
        table: float32 or bfloat16, on the CPU.
        ids: int64 in 0..V-1.
    """
    return LookupFunction.apply(table, ids)  # type: ignore[no-any-return,no-untyped-call]


class LookupFunction(torch.autograd.Function):
    """A lookup whose backward adds up the rows' gradients in C."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        """Return (T, B, G)."""
        ctx.save_for_backward(ids)
        ctx.num_rows = table.shape[0]
        return F.embedding(ids, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the table, (V, G)."""
        (ids,) = ctx.saved_tensors
        ids, grad = ids.contiguous(), grad.contiguous()
        sums = torch.zeros(ctx.num_rows, grad.shape[-1])
        sum_rows = getattr(native.load_library(), f"lookup_sum_rows_{native.fastest_instruction_set()}")
        numbers = (ids.numel(), grad.shape[-1], torch.get_num_threads(), grad.dtype == torch.bfloat16)
        sum_rows(
            *(ctypes.c_void_p(x.data_ptr()) for x in (ids, grad, sums)), *(ctypes.c_int64(int(n)) for n in numbers)
        )
        return sums.to(grad.dtype), None
