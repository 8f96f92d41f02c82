"""Stacks of layers: torch's own stack, carried pieces, dropout, and stepping against whole sequences."""

import pytest
import torch
from torch import nn

from charlm.lstm import LSTM
from charlm.lstm.layers import drop_locked

T, B, E, H = 9, 2, 5, 6


def make_stack(num_layers: int, dropout: float = 0.0) -> LSTM:
    """Return a stack in float64, which only the reference kernel takes."""
    torch.manual_seed(1)
    return LSTM(E, H, num_layers, dropout, kernel="reference").double()


def run(stack: LSTM, x: torch.Tensor, states: tuple | None = None) -> tuple:
    """Return what a stack makes of inputs (T, B, E)."""
    return stack(stack.cells[0].project(x), states or stack.initial_state(B))


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_equals_torch(num_layers: int) -> None:
    """A stack equals torch.nn.LSTM of as many layers with the same weights."""
    stack = make_stack(num_layers)
    theirs = nn.LSTM(E, H, num_layers).double()
    with torch.no_grad():
        for depth, cell in enumerate(stack.cells):
            getattr(theirs, f"weight_ih_l{depth}").copy_(cell.weight_ih)
            getattr(theirs, f"weight_hh_l{depth}").copy_(cell.weight_hh)
            getattr(theirs, f"bias_ih_l{depth}").copy_(cell.bias)
            getattr(theirs, f"bias_hh_l{depth}").zero_()
    x = torch.randn(T, B, E, dtype=torch.float64)
    hidden, states = run(stack, x)
    expected, (h, c) = theirs(x)
    torch.testing.assert_close(hidden, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack([state.h for state in states]), h, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack([state.c for state in states]), c, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_pieces_equal_one_pass(cut: int) -> None:
    """Two pieces with the state carried equal one pass, and the carried state is left alone."""
    stack = make_stack(2)
    x = torch.randn(T, B, E, dtype=torch.float64)
    whole, _ = run(stack, x)
    first, states = run(stack, x[:cut])
    before = [tensor.clone() for state in states for tensor in state]
    second, _ = run(stack, x[cut:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-14)
    assert all(torch.equal(old, new) for old, new in zip(before, (t for s in states for t in s), strict=True))


def test_stepping_equals_a_sequence() -> None:
    """Stepping the cells one character at a time equals the sequence."""
    stack = make_stack(3)
    x = torch.randn(T, B, E, dtype=torch.float64)
    whole, _ = run(stack, x)
    states = stack.initial_state(B)
    for t in range(T):
        hidden, states = stack.step(x[t], states)
        torch.testing.assert_close(hidden, whole[t], rtol=1e-12, atol=1e-14)


def test_dropout_is_locked_in_time() -> None:
    """The same features are dropped at every step, and those that stay keep the mean."""
    torch.manual_seed(1)
    dropped = drop_locked(torch.ones(T, 50, 40), 0.25)
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert not torch.equal(dropped[0, 0], dropped[0, 1])


def test_dropout_after_every_layer_in_training_only() -> None:
    """Training drops features after the last layer and below it; evaluation drops none."""
    stack = make_stack(2, dropout=0.5)
    x = torch.randn(T, B, E, dtype=torch.float64)
    plain, plain_states = run(stack.eval(), x)
    assert torch.equal(plain, run(make_stack(2), x)[0])
    torch.manual_seed(3)
    hidden, states = run(stack.train(), x)
    assert (hidden == 0).all(dim=0).any()
    assert torch.equal(states[0].h, plain_states[0].h)  # what the lower layer remembers is never dropped
    assert not torch.equal(states[1].h, plain_states[1].h)  # what it passes on is


def test_weights_have_the_same_keys_whatever_the_kernel() -> None:
    """A state dict made with one kernel loads with the other."""
    keys = [f"cells.{depth}.{name}" for depth in range(2) for name in ("weight_ih", "weight_hh", "bias")]
    assert list(LSTM(E, H, 2, kernel="reference").state_dict()) == keys
    assert list(LSTM(E, H, 2, kernel="auto").state_dict()) == keys
