"""Large matrix products on the CPU by oneDNN, with the bias fused.

torch uses MKL for float32 products. MKL selects slower code on processors that are not from Intel: there oneDNN is more
than twice as fast; on Intel's it is about as fast. torch uses oneDNN for bfloat16 products, but first fills the result
with the bias, which is one more pass over memory.

Dimensions: N rows (all positions of a batch of sequences), E input columns, G output columns.
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
    """Return left (N, E) times the transpose of right (G, E), plus the bias (G,): (N, G)."""
    if HAS_ONEDNN_BF16 if left.dtype == torch.bfloat16 else HAS_ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")  # type: ignore[no-any-return]
    return F.linear(left, right, bias)


def multiply_transposed(left: Tensor, right: Tensor, instruction_set: str | None = None) -> tuple[Tensor, Tensor]:
    """Return the transpose of left (N, G) times right (N, E), (G, E), and the sums of the columns of left, (G,).

    The C library computes both in float32, in the same order for any number of threads.
    """
    chosen = instruction_set or native.fastest_instruction_set()
    left, right = left.contiguous(), right.contiguous()
    result, column_sums = torch.zeros(left.shape[1], right.shape[1]), torch.zeros(left.shape[1])
    add_product = getattr(native.load_library(), f"gradient_add_product_{chosen}")
    numbers = (left.shape[0], *result.shape, torch.get_num_threads(), left.dtype == torch.bfloat16)
    if add_product(
        *(ctypes.c_void_p(x.data_ptr()) for x in (left, right, result, column_sums)),
        *(ctypes.c_int64(int(n)) for n in numbers),
    ):
        raise CharlmError("out of memory in the product for a weight gradient")
    return result, column_sums


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x (..., E) times the transpose of weight (G, E), plus bias (G,): (..., G).

    The dtype is that of x, or autocast's if autocast is enabled.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    rows = ProjectionFunction.apply(x.to(dtype).flatten(0, -2), weight, bias)  # type: ignore[no-untyped-call]
    return rows.unflatten(0, x.shape[:-1])  # type: ignore[no-any-return]


class ProjectionFunction(torch.autograd.Function):
    """``torch.nn.functional.linear`` on top of ``multiply``, forward and backward, in the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the projection, (N, G)."""
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        return multiply(x, weight, bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of x, weight and bias, the latter two in float32."""
        x, weight = ctx.saved_tensors
        return multiply(grad, weight.T), *multiply_transposed(grad, x)
