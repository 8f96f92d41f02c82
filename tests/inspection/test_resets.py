"""The loss by distance between resets."""

import pytest
import torch
from torch.nn import functional as F

from charlm.inference.evaluation import evaluate
from charlm.inspection.resets import measure_resets
from charlm.model import CharLM


def test_the_curve_ends_with_the_carried_loss(model: CharLM) -> None:
    """The distances that are shorter than the text come first, and the last point is the loss without resets."""
    ids = torch.randint(10, (70,), generator=torch.Generator().manual_seed(0))
    curve = measure_resets(model, ids)
    assert [point.window for point in curve] == [1, 4, 16, 64, None]
    assert curve[-1].bits_per_char == evaluate(model, ids).bits_per_char
    assert curve[2].bits_per_char == evaluate(model, ids, 16).bits_per_char


def test_the_first_point_is_a_model_of_pairs(model: CharLM) -> None:
    """With a reset at every character, each is predicted from the one before it alone."""
    ids = torch.tensor([1, 5, 2, 2, 7])
    logits = torch.cat([model.eval()(ids[None, t : t + 1], model.initial_state(1))[0][0] for t in range(4)])
    expected = F.cross_entropy(logits, ids[1:]).item() / torch.tensor(2.0).log().item()
    assert measure_resets(model, ids)[0].bits_per_char == pytest.approx(expected, rel=1e-5)


def test_a_text_of_two_characters_has_one_point(model: CharLM) -> None:
    """The shortest text has no distance that is shorter."""
    assert [point.window for point in measure_resets(model, torch.tensor([1, 2]))] == [None]
