"""The model: its shapes, its lookup, its parameters, and where its loss begins."""

import math

import pytest
import torch
from torch.nn import functional as F

from charlm.model import CharLM

V, B, T = 11, 3, 8


@pytest.mark.parametrize("num_layers", [1, 2, 3, 5])
def test_shapes_and_carried_state(num_layers: int) -> None:
    """Ids (B, T) give logits (B, T, V), and pieces with the state carried equal one pass."""
    torch.manual_seed(1)
    model = CharLM(V, num_layers, 7, 4).eval()
    ids = torch.randint(V, (B, T))
    whole, _ = model(ids, model.initial_state(B))
    first, states = model(ids[:, :5], model.initial_state(B))
    second, _ = model(ids[:, 5:], states)
    assert whole.shape == (B, T, V)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_steps", [T, 2])  # more ids than symbols, and fewer
def test_embedding_dropout_drops_symbols_in_training(num_steps: int) -> None:
    """A dropped symbol has the logits of an embedding of zeros; evaluation drops nothing."""
    torch.manual_seed(1)
    model = CharLM(V, 1, 7, 4, embedding_dropout=0.5)
    ids = torch.arange(B * num_steps).reshape(B, num_steps) % V
    generator = torch.Generator().manual_seed(2)
    mask = torch.empty(V, 1).bernoulli_(0.5, generator=torch.Generator().manual_seed(2))
    trained, _ = model.train()(ids, model.initial_state(B), generator)
    plain, _ = model.eval()(ids, model.initial_state(B))
    model.embedding.weight.data.mul_(2 * mask)
    expected, _ = model(ids, model.initial_state(B))
    torch.testing.assert_close(trained, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(trained, plain)


def test_dropout_of_the_output_in_training() -> None:
    """In training the last layer's output has features that are zero at all steps; in evaluation it has none."""
    torch.manual_seed(1)
    model = CharLM(V, 2, 7, 4, dropout=0.5)
    ids = torch.randint(V, (B, T))
    dropped = model.train().run_layers(ids, model.initial_state(B))[0] == 0
    assert dropped.any() and torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert model.eval().run_layers(ids, model.initial_state(B))[0].all()


def test_step_equals_sequence() -> None:
    """Stepping the cells one character at a time gives the logits of the whole sequence."""
    torch.manual_seed(1)
    model = CharLM(V, 2, 7, 4).eval()
    ids = torch.randint(V, (B, T))
    whole, _ = model(ids, model.initial_state(B))
    states = model.initial_state(B)
    for t in range(T):
        logits, states = model.step(ids[:, t], states)
        torch.testing.assert_close(logits, whole[:, t], rtol=1e-5, atol=1e-6)


def test_every_parameter_learns() -> None:
    """Every weight of every layer has a gradient that is not zero."""
    torch.manual_seed(1)
    model = CharLM(V, 3, 7, 4)
    ids = torch.randint(V, (B, T))
    logits, _ = model(ids, model.initial_state(B))
    F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


@pytest.mark.parametrize("vocabulary_size", [2, 65, 5000])
def test_fresh_loss_is_that_of_a_uniform_guess(vocabulary_size: int) -> None:
    """The loss of fresh models starts near ln V, a little above for the size of their logits."""
    torch.manual_seed(1)
    losses = []
    for _ in range(5):  # with two symbols the logits of a single model can be large or small
        model = CharLM(vocabulary_size, 2, 32, 16)
        ids = torch.randint(vocabulary_size, (16, 32))
        logits, _ = model(ids, model.initial_state(16))
        losses.append(F.cross_entropy(logits.flatten(0, 1), torch.randint(vocabulary_size, (16 * 32,))).item())
    assert -0.05 < sum(losses) / 5 - math.log(vocabulary_size) < 0.25  # logits of size s cost about s² / 2
