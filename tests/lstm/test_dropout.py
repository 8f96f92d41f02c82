"""Dropout: what each mask covers, and that what is kept is scaled."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from charlm.lstm.dropout import StreamGenerator, apply_locked_dropout, drop_connections, drop_symbols

T, B, H = 9, 50, 40


def test_locked_dropout_drops_features_at_all_steps() -> None:
    """The same features of a stream are dropped at every step, others in another stream."""
    dropped = apply_locked_dropout(torch.ones(T, B, H), 0.25, torch.Generator().manual_seed(1))
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert not torch.equal(dropped[0, 0], dropped[0, 1])


def test_dropconnect_drops_single_weights() -> None:
    """Each weight is dropped by itself."""
    dropped = drop_connections(torch.ones(4 * H, H), 0.25, torch.Generator().manual_seed(1))
    assert not torch.equal(dropped[0], dropped[1])
    assert not torch.equal(dropped[:, 0], dropped[:, 1])


def test_whole_symbols_are_dropped() -> None:
    """An embedding is dropped as a whole or not at all."""
    dropped = drop_symbols(torch.ones(200, H), 0.25, torch.Generator().manual_seed(1))
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert dropped[:, 0].unique().numel() == 2


@pytest.fixture(params=[(apply_locked_dropout, (3, 500, 40)), (drop_connections, (160, 40)), (drop_symbols, (5000, 4))])
def drop_and_ones(request: pytest.FixtureRequest) -> tuple[Callable[..., Tensor], Tensor]:
    """A kind of dropout, and ones in a shape that it takes."""
    drop, shape = request.param
    return drop, torch.ones(shape, requires_grad=True)


def test_scaling_keeps_the_mean(drop_and_ones: tuple[Callable[..., Tensor], Tensor]) -> None:
    """What is kept is divided by 1 - p, a fraction of about p is zero, and the argument is not modified."""
    drop, ones = drop_and_ones
    dropped = drop(ones, 0.25, torch.Generator().manual_seed(1))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert (ones == 1).all()


def test_zero_draws_nothing(drop_and_ones: tuple[Callable[..., Tensor], Tensor]) -> None:
    """A dropout of 0 returns its argument and leaves the generator as it was."""
    drop, ones = drop_and_ones
    generator = torch.Generator().manual_seed(1)
    assert drop(ones, 0.0, generator) is ones
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(1).get_state())


def test_gradient_is_that_of_the_kept_part(drop_and_ones: tuple[Callable[..., Tensor], Tensor]) -> None:
    """The gradient of a dropped number is 0, that of a kept one 1 / (1 - p)."""
    drop, ones = drop_and_ones
    dropped = drop(ones, 0.5, torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(dropped.sum(), ones)
    assert torch.equal(gradient, dropped)


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_processes_draw_the_masks_of_their_streams(num_processes: int) -> None:
    """What each process drops of its streams is what one process drops of them, and all draw as many numbers."""
    hidden = torch.rand(T, B, H)
    whole = torch.Generator().manual_seed(1)
    expected = apply_locked_dropout(hidden, 0.25, whole)
    for rank in range(num_processes):
        generator = StreamGenerator(B)
        generator.manual_seed(1)
        generator.own = slice(rank, None, num_processes)
        dropped = apply_locked_dropout(hidden[:, generator.own], 0.25, generator)
        assert torch.equal(dropped, expected[:, generator.own])
        assert torch.equal(generator.get_state(), whole.get_state())
