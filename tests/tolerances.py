"""How far two ways of computing the same thing may differ, in one place.

A tolerance is a share of the largest expected magnitude, or of ``SMALLEST_SCALE`` where that is smaller.
"""

import torch
from torch import Tensor

PARITY = {
    # 2**-24 a rounding, in sums of up to a few hundred terms taken in another order; activations to 3e-7.
    torch.float32: 5e-6,
    # 2**-9 a rounding; the reference rounds the product and its sum with the input, the kernel rounds neither.
    torch.bfloat16: 2.5e-2,
}
"""A kernel against the reference: outputs and gradients, after a few steps."""

LOOKUP = {
    torch.float32: 1e-5,  # 3,000 roundings of 2**-24 in a running sum, which mostly cancel
    torch.bfloat16: 2**-8,  # one rounding; a sum in bfloat16 would stop growing at 256 of its terms
}
"""The gradient of a table's row against its sum in float64."""

GOLDEN = {
    "fp32": 2e-6,  # instruction sets were seen to differ by 1.5e-7
    "bf16": 5e-4,  # instruction sets were seen to differ by 5e-5, and the two kernels, which round elsewhere, by 1.3e-4
}
"""Losses of a short run on another processor, as a share of each."""

SIGMOID = 1.5e-7
"""The fast σ against the exact one: the polynomial's 1.1e-7 through a slope of 1/4, and the last roundings."""

TANH = 3e-7
"""The fast tanh, 2 σ(2x) - 1, against the exact one: twice the error of σ."""

SMALLEST_SCALE = 0.1


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Fail unless shapes and dtypes agree and no element differs by more than the tolerance."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = max(expected.abs().max().item(), SMALLEST_SCALE)
    error = (actual.double() - expected.double()).abs().max().item()
    assert error <= tolerance * scale, f"differs by {error:.2e}, allowed {tolerance * scale:.2e}"
