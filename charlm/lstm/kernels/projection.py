"""Large products on the CPU, by oneDNN, bias and all.

torch sends float32 products to MKL, which holds back on processors that are not Intel's: there oneDNN is more than
twice as fast, and elsewhere about as fast. It sends bfloat16 products to oneDNN, but first fills the result with the
bias, in a pass of its own over memory.

Dimensions: N rows (all places of a batch of sequences), E columns in, G columns out.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.errors import CharlmError
from charlm.lstm.kernels import native

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
HAS_ONEDNN_BF16 = HAS_ONEDNN and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def multiply(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return left (N, E) times right (G, E) transposed, plus the bias (G,): (N, G)."""
    if HAS_ONEDNN_BF16 if left.dtype == torch.bfloat16 else HAS_ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")  # type: ignore[no-any-return]
    return F.linear(left, right, bias)


def multiply_transposed(left: Tensor, right: Tensor) -> Tensor:
    """Return left (N, G) transposed times right (N, E), summed over all places: (G, E).

    In bfloat16 it is torch's product; in float32 it runs in C, where the fastest instructions are.
    """
    if left.dtype == torch.bfloat16:
        return left.T @ right
    left, right = left.contiguous(), right.contiguous()
    result = torch.zeros(left.shape[1], right.shape[1])
    add_product = getattr(native.load_library(), f"gradient_add_product_{native.fastest_instruction_set()}")
    numbers = (left.shape[0], *result.shape, torch.get_num_threads())
    if add_product(
        *(ctypes.c_void_p(x.data_ptr()) for x in (left, right, result)), *(ctypes.c_int64(n) for n in numbers)
    ):
        raise CharlmError("out of memory in a product over all steps")
    return result


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x (..., E) times weight (G, E) transposed, plus bias (G,): (..., G); in autocast's dtype under it."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    rows = ProjectionFunction.apply(x.to(dtype).flatten(0, -2), weight.to(dtype), bias.to(dtype))  # type: ignore[no-untyped-call]
    return rows.unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]


class ProjectionFunction(torch.autograd.Function):
    """``torch.nn.functional.linear`` by ``multiply``, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return (N, G)."""
        ctx.save_for_backward(x, weight)
        return multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        return multiply(grad, weight.T), multiply_transposed(grad, x), grad.sum(0)
