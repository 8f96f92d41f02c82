"""Stacks of layers: equality with torch.nn.LSTM, carried state, dropout, and stepping against whole sequences."""

import pytest
import torch
from torch import nn

from charlm.lstm import LSTM

T, B, E, H = 9, 2, 5, 6


def make_stack(num_layers: int, dropout: float = 0.0, dropconnect: float = 0.0) -> LSTM:
    """Return a float64 stack; only the reference kernel supports float64."""
    torch.manual_seed(1)
    return LSTM(E, H, num_layers, dropout, dropconnect, kernel="reference").double()


def run(stack: LSTM, x: torch.Tensor, states: tuple | None = None) -> tuple:
    """Return hidden states and last states of a stack for inputs (T, B, E)."""
    return stack(x, states or stack.initial_state(B))


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_equals_torch(num_layers: int) -> None:
    """A stack equals torch.nn.LSTM with the same number of layers and the same weights."""
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
def test_chunks_with_carried_state_equal_one_pass(cut: int) -> None:
    """A sequence in two chunks with carried state equals one pass, and the carried state is not modified."""
    stack = make_stack(2)
    x = torch.randn(T, B, E, dtype=torch.float64)
    whole, _ = run(stack, x)
    first, states = run(stack, x[:cut])
    before = [tensor.clone() for state in states for tensor in state]
    second, _ = run(stack, x[cut:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-14)
    assert all(torch.equal(old, new) for old, new in zip(before, (t for s in states for t in s), strict=True))


def test_stepping_equals_a_sequence() -> None:
    """Stepping all layers one position at a time equals the whole sequence."""
    stack = make_stack(3)
    x = torch.randn(T, B, E, dtype=torch.float64)
    whole, _ = run(stack, x)
    states = stack.initial_state(B)
    for t in range(T):
        hidden, states = stack.step(x[t], states)
        torch.testing.assert_close(hidden, whole[t], rtol=1e-12, atol=1e-14)


def test_dropout_between_layers_in_training_only() -> None:
    """Dropout applies to the input of an upper layer in training, and is off in evaluation."""
    stack = make_stack(2, dropout=0.5)
    x = torch.randn(T, B, E, dtype=torch.float64)
    plain, plain_states = run(stack.eval(), x)
    assert torch.equal(plain, run(make_stack(2), x)[0])
    hidden, states = run(stack.train(), x)
    assert torch.equal(states[0].h, plain_states[0].h)
    assert not torch.equal(states[1].h, plain_states[1].h)
    assert hidden.all()  # the last layer's output has no dropout


@pytest.mark.parametrize("depth", [0, 1])
def test_dropconnect_acts_on_the_recurrent_weights_of_every_layer(depth: int) -> None:
    """In training, the recurrent weights of a layer change its states; from the zero state the first step has none."""
    x = torch.randn(T, B, E, dtype=torch.float64)
    plain, dropped = make_stack(2), make_stack(2, dropconnect=0.5)
    for stack in (plain, dropped):
        stack.cells[1 - depth].weight_hh.data.zero_()
    assert torch.equal(run(dropped.train(), x[:1])[0], run(plain, x[:1])[0])
    assert not torch.equal(run(dropped, x)[1][depth].h, run(plain, x)[1][depth].h)
    assert torch.equal(run(dropped.eval(), x)[0], run(plain, x)[0])


def test_state_dict_keys_do_not_depend_on_the_kernel() -> None:
    """A state dict saved with one kernel can be loaded with the other."""
    keys = [f"cells.{depth}.{name}" for depth in range(2) for name in ("weight_ih", "weight_hh", "bias")]
    assert list(LSTM(E, H, 2, kernel="reference").state_dict()) == keys
    assert list(LSTM(E, H, 2, kernel="auto").state_dict()) == keys
