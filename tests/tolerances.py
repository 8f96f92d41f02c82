"""The tolerances of all numerical comparisons in the tests.

A tolerance is relative to the largest expected magnitude, which is taken as at least ``MIN_SCALE``.
"""

import torch
from torch import Tensor

PARITY = {
    # 2**-24 per rounding, in sums of up to a few hundred terms in different orders; activations have errors of 3e-7.
    torch.float32: 5e-6,
    # 2**-9 per rounding; the reference rounds the recurrent product and the pre-activation, the kernel rounds neither.
    torch.bfloat16: 2.5e-2,
}
"""Outputs and gradients of a kernel against those of the reference, after a few steps."""

LOOKUP = {
    torch.float32: 1e-5,  # 3,000 roundings of 2**-24 in a running sum; they mostly cancel
    torch.bfloat16: 2**-8,  # one rounding; a running sum in bfloat16 would stop growing after about 256 terms
}
"""The gradient of a table row against its sum in float64."""

LOSS_GRADIENT = {
    torch.float32: 5e-6,  # as PARITY
    torch.bfloat16: 2**-7,  # rounded once, and once more if the loss has a factor
}
"""The gradient of the loss by logit against its value in float64."""

GOLDEN = {
    "fp32": 2e-6,  # instruction sets were seen to differ by 1.5e-7
    "bf16": 5e-4,  # instruction sets were seen to differ by 5e-5, and the two kernels, which round elsewhere, by 1.3e-4
}
"""Losses of a short run on another processor, as a share of each."""

SIGMOID = 1.5e-7
"""Absolute error of the fast σ: the polynomial's relative error 1.1e-7 times the slope 1/4, plus the last roundings."""

TANH = 3e-7
"""Absolute error of the fast tanh, 2 σ(2x) - 1: twice the error of σ."""

MIN_SCALE = 0.1


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Fail unless shapes and dtypes are equal and no element differs by more than the tolerance."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    scale = max(expected.abs().max().item(), MIN_SCALE)
    error = (actual.double() - expected.double()).abs().max().item()
    assert error <= tolerance * scale, f"differs by {error:.2e}, allowed {tolerance * scale:.2e}"
