"""Large products on the CPU: oneDNN's in float32, where torch would take another library's.

torch sends bfloat16 products to oneDNN, but float32 ones to MKL, which holds back on processors that are not Intel's:
there oneDNN is more than twice as fast, and elsewhere about as fast.

Dimensions: N rows (all places of a batch of sequences), E columns in, G columns out.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


def multiply(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return left (N, E) times right (G, E) transposed, plus the bias (G,): (N, G)."""
    if HAS_ONEDNN and left.dtype == torch.float32:
        return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")  # type: ignore[no-any-return]
    return F.linear(left, right, bias)


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x (..., E) times weight (G, E) transposed, plus bias (G,): (..., G); in autocast's dtype under it."""
    if torch.is_autocast_enabled("cpu") or x.dtype != torch.float32 or not HAS_ONEDNN:
        return F.linear(x, weight, bias)
    rows = ProjectionFunction.apply(x.flatten(0, -2), weight, bias)  # type: ignore[no-untyped-call]
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
        return multiply(grad, weight.T), multiply(grad.T, x.T), grad.sum(0)
