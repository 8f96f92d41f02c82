"""The recorded activations satisfy the equations of the LSTM and belong to the model as it is."""

import torch

from charlm.inference.activations import record_activations
from charlm.model import CharLM

IDS = torch.tensor([0, 3, 1, 4, 4, 2])


def test_activations_satisfy_the_equations(model: CharLM) -> None:
    """In every layer, the gates and candidates give the states, beginning from zero."""
    layers = record_activations(model, IDS)
    assert len(layers) == 2
    for f, i, g, c, o, h in layers:
        before = torch.cat([torch.zeros(1, c.shape[1]), c[:-1]])
        torch.testing.assert_close(f * before + i * g, c)
        torch.testing.assert_close(o * torch.tanh(c), h)
        assert f.min() > 0 and i.min() > 0 and o.min() > 0
        assert f.max() < 1 and i.max() < 1 and o.max() < 1


def test_gates_are_told_apart(model: CharLM) -> None:
    """A bias that closes one gate or fixes the candidates shows in that one alone, in its layer."""
    with torch.no_grad():
        for place, value in enumerate((-100.0, 100.0, 100.0, -100.0)):
            model.lstm.cells[1].bias.view(4, -1)[place] = value
    lower, upper = record_activations(model, IDS)
    assert [upper.i.max().item(), upper.f.min().item(), upper.g.min().item(), upper.o.max().item()] == [0, 1, 1, 0]
    assert lower.i.min() > 0


def test_upper_layer_gives_the_logits(model: CharLM) -> None:
    """The model that was recorded is the whole model without dropout, and it stays in training mode."""
    h = record_activations(model, IDS)[-1].h
    assert model.training
    logits, _ = model.eval()(IDS[None], model.initial_state(1))
    torch.testing.assert_close(model.output(h), logits[0])
