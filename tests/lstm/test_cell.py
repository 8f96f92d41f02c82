"""The cell compared with a scalar loop over the equations, and with torch.nn.LSTM with the same weights."""

import math

import pytest
import torch
from torch import Tensor, nn

from charlm.lstm import LSTMCell, LSTMState
from charlm.lstm.initialization import initialize_cells

E, H, B = 3, 4, 2


def sigmoid(x: float) -> float:
    """Return the logistic function of a number."""
    return 1 / (1 + math.exp(-x))


def step_by_scalars(cell: LSTMCell, x: list[float], h: list[float], c: list[float]) -> tuple[list[float], list[float]]:
    """Return the next h and c of one sequence, computed from the equations in scalar arithmetic."""
    W, U, b = cell.weight_ih.tolist(), cell.weight_hh.tolist(), cell.bias.tolist()

    def pre_activation(gate: int, unit: int) -> float:
        row = gate * H + unit
        return sum(W[row][k] * x[k] for k in range(E)) + sum(U[row][k] * h[k] for k in range(H)) + b[row]

    next_h, next_c = [], []
    for unit in range(H):
        i, f = sigmoid(pre_activation(0, unit)), sigmoid(pre_activation(1, unit))
        g, o = math.tanh(pre_activation(2, unit)), sigmoid(pre_activation(3, unit))
        next_c.append(f * c[unit] + i * g)
        next_h.append(o * math.tanh(next_c[-1]))
    return next_h, next_c


def make_state(*shape: int) -> LSTMState:
    """Return a random nonzero state in float64."""
    return LSTMState(torch.randn(*shape, dtype=torch.float64).tanh(), torch.randn(*shape, dtype=torch.float64))


@pytest.fixture
def cell() -> LSTMCell:
    """Return a float64 cell with random weights and biases."""
    torch.manual_seed(1)
    cell = LSTMCell(E, H).double()
    initialize_cells([cell], None)
    nn.init.normal_(cell.bias)
    return cell


def test_equals_the_equations(cell: LSTMCell) -> None:
    """One step equals the scalar loop over the equations."""
    x, state = torch.randn(B, E, dtype=torch.float64), make_state(B, H)
    after = cell(x, state)
    for row in range(B):
        h, c = step_by_scalars(cell, x[row].tolist(), state.h[row].tolist(), state.c[row].tolist())
        assert after.h[row].tolist() == pytest.approx(h, rel=1e-12)
        assert after.c[row].tolist() == pytest.approx(c, rel=1e-12)


def copy_to_torch(cell: LSTMCell, theirs: nn.LSTM) -> None:
    """Copy a cell's weights into torch's LSTM; its second bias is set to zero."""
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(cell.weight_ih)
        theirs.weight_hh_l0.copy_(cell.weight_hh)
        theirs.bias_ih_l0.copy_(cell.bias)
        theirs.bias_hh_l0.zero_()


def copy_from_torch(cell: LSTMCell, theirs: nn.LSTM) -> None:
    """Copy the weights of torch's LSTM into a cell; its two biases are added."""
    with torch.no_grad():
        cell.weight_ih.copy_(theirs.weight_ih_l0)
        cell.weight_hh.copy_(theirs.weight_hh_l0)
        cell.bias.copy_(theirs.bias_ih_l0 + theirs.bias_hh_l0)


@pytest.mark.parametrize("copy", [copy_to_torch, copy_from_torch], ids=["ours to theirs", "theirs to ours"])
def test_equals_torch(cell: LSTMCell, copy: object) -> None:
    """Stepping the cell equals torch.nn.LSTM with the same weights, copied in either direction."""
    theirs = nn.LSTM(E, H).double()
    copy(cell, theirs)  # type: ignore[operator]
    x, first = torch.randn(7, B, E, dtype=torch.float64), make_state(B, H)
    expected, (h, c) = theirs(x, (first.h[None], first.c[None]))
    state = first
    for t, expected_h in enumerate(expected):
        state = cell(x[t], state)
        torch.testing.assert_close(state.h, expected_h, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(LSTMState(*state), LSTMState(h[0], c[0]), rtol=1e-10, atol=1e-12)


def test_gradients(cell: LSTMCell) -> None:
    """The gradients of x, h, c, W, U and b equal finite differences in float64."""
    x, state = torch.randn(B, E, dtype=torch.float64), make_state(B, H)

    def step(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> LSTMState:
        names = ("weight_ih", "weight_hh", "bias")
        result: LSTMState = torch.func.functional_call(
            cell, dict(zip(names, weights, strict=True)), (x, LSTMState(h, c))
        )
        return result

    weights = (cell.weight_ih, cell.weight_hh, cell.bias)
    leaves = [leaf.detach().requires_grad_() for leaf in (x, *state, *weights)]
    assert torch.autograd.gradcheck(step, leaves)


def test_inputs_are_not_modified(cell: LSTMCell) -> None:
    """A step changes neither its input nor its state."""
    x, state = torch.randn(B, E, dtype=torch.float64), make_state(B, H)
    before = [tensor.clone() for tensor in (x, *state)]
    cell(x, state)
    assert all(torch.equal(old, new) for old, new in zip(before, (x, *state), strict=True))


def test_fresh_biases() -> None:
    """The forget biases of the first layer cover the range from -1 to 1, the others' are -1; all other biases are 0."""
    cells = [LSTMCell(width, 25) for width in (16, 25, 25)]
    initialize_cells(cells, None)
    for depth, cell in enumerate(cells):
        first, forget, *others = cell.bias.reshape(4, 25).unbind()
        torch.testing.assert_close(forget, torch.linspace(-1, 1, 25) if depth == 0 else torch.full((25,), -1.0))
        assert not any(bias.any() for bias in (first, *others))


def test_detach(cell: LSTMCell) -> None:
    """A detached state has the same values and requires no gradient."""
    state = cell(torch.randn(B, E, dtype=torch.float64), make_state(B, H))
    assert state.h.requires_grad
    assert not any(tensor.requires_grad for tensor in state.detach())
    assert torch.equal(state.detach().c, state.c)
