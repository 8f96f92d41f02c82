"""Widths of whole blocks, for which AMX has code of its own, against the code for all widths, in every bit.

That code runs if a layer has one unit more. A unit without weights changes nothing in the others.
"""

import pytest
import torch
from instruction_sets import needs_compiler, on_every_instruction_set
from torch import Tensor
from torch.nn import functional as F

from charlm.lstm import LSTMState
from charlm.lstm.kernels import cpu

SIZES = [(1, 2, 32), (4, 16, 64), (3, 33, 96), (2, 100, 384)]
"""T, B, H: one tile of rows, two, and several groups of two; an odd number of blocks; a width without prefetching."""

in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


def widen(x: Tensor) -> Tensor:
    """Add a unit of zeros: (..., H) to (..., H + 1)."""
    return F.pad(x, (0, 1))


def widen_gates(x: Tensor) -> Tensor:
    """Add a unit of zeros to each gate: (..., 4H) to (..., 4 (H + 1))."""
    return widen(x.unflatten(-1, (4, -1))).flatten(-2)


def widen_weights(x: Tensor) -> Tensor:
    """Add a unit of zeros to recurrent weights: (4H, H) to (4 (H + 1), H + 1)."""
    return widen_gates(widen(x).T).T


def narrow(x: Tensor) -> Tensor:
    """Undo ``widen``."""
    return x[..., :-1]


def narrow_gates(x: Tensor) -> Tensor:
    """Undo ``widen_gates``."""
    return narrow(x.unflatten(-1, (4, -1))).flatten(-2)


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("is_lookup", [False, True], ids=["rows", "lookup"])
@pytest.mark.parametrize(("T", "B", "H"), SIZES)
def test_forward(T: int, B: int, H: int, is_lookup: bool, dtype: torch.dtype, instruction_set: str) -> None:
    """All outputs have the same bits, and those without saving for the backward pass too."""
    torch.manual_seed(0)
    weight_hh, h, c = torch.randn(4 * H, H) / H**0.5, torch.randn(B, H).tanh(), torch.randn(B, H)
    rows = torch.randn(5, 4 * H).to(dtype) if is_lookup else torch.randn(T, B, 4 * H).to(dtype)
    ids = torch.randint(5, (T, B)) if is_lookup else None

    def run(rows: Tensor, weight_hh: Tensor, h: Tensor, c: Tensor, needs_backward: bool) -> tuple[Tensor, ...]:
        return cpu.run_forward(rows, ids, weight_hh, LSTMState(h, c), instruction_set, needs_backward)

    actual = run(rows, weight_hh, h, c, needs_backward=True)
    hidden, h_last, c_last, gates, cells = run(
        widen_gates(rows), widen_weights(weight_hh), widen(h), widen(c), needs_backward=True
    )
    expected = narrow(hidden), narrow(h_last), narrow(c_last), narrow_gates(gates), narrow(cells)
    assert [torch.equal(x, y) for x, y in zip(actual, expected, strict=True)] == [True] * 5
    without_saving = run(rows, weight_hh, h, c, needs_backward=False)
    assert [torch.equal(x, y) for x, y in zip(without_saving, actual[:3], strict=True)] == [True] * 3


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("has_gradients", [False, True], ids=["hidden", "all"])
@pytest.mark.parametrize(("T", "B", "H"), SIZES)
def test_backward(T: int, B: int, H: int, has_gradients: bool, dtype: torch.dtype, instruction_set: str) -> None:
    """All gradients have the same bits, with and without gradients of the state after the last step."""
    torch.manual_seed(0)
    weight_hh, gates = torch.randn(4 * H, H) / H**0.5, torch.rand(T, B, 4 * H).to(dtype)
    cells, grad_hidden = torch.randn(T + 1, B, H).to(dtype), torch.randn(T, B, H).to(dtype)
    grads = (grad_hidden, torch.randn(B, H), torch.randn(B, H)) if has_gradients else (grad_hidden, None, None)
    actual = cpu.run_backward(gates, cells, weight_hh, grads, instruction_set)
    grad_gates, *grad_state = cpu.run_backward(
        widen_gates(gates),
        widen(cells),
        widen_weights(weight_hh),
        tuple(None if x is None else widen(x) for x in grads),
        instruction_set,
    )
    expected = narrow_gates(grad_gates), *map(narrow, grad_state)
    assert [torch.equal(x, y) for x, y in zip(actual, expected, strict=True)] == [True] * 3
