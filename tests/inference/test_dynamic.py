"""Dynamic evaluation: the rule, and that no character is scored by weights that have learned from it."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import InputError
from charlm.inference import dynamic
from charlm.inference.dynamic import Adaptation, DynamicEvaluator
from charlm.inference.evaluation import evaluate
from charlm.model import CharLM

V = 10


@pytest.fixture
def train_ids() -> Tensor:
    """Return the ids of a training part, (N,)."""
    return torch.randint(V, (400,), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


@pytest.fixture
def val_ids() -> Tensor:
    """Return a text that repeats itself, unlike the training part, (N,)."""
    return torch.tensor([1, 2, 3, 3, 7] * 40).to(torch.uint8)


@pytest.fixture
def evaluator(model: CharLM, train_ids: Tensor) -> DynamicEvaluator:
    """Return the dynamic evaluation of the small model."""
    return DynamicEvaluator(model, train_ids)


def test_without_learning_it_is_the_static_loss(evaluator: DynamicEvaluator, model: CharLM, val_ids: Tensor) -> None:
    """With a rate of 0 every character has its static loss, whatever the decay."""
    static = evaluate(model, val_ids)
    still = evaluator.evaluate(val_ids, Adaptation(0.0, 0.5))
    assert still.loss_nats == pytest.approx(static.loss_nats, rel=1e-6)
    assert still.num_chars == static.num_chars


def test_a_text_unlike_the_training_part_is_learned(
    evaluator: DynamicEvaluator, model: CharLM, val_ids: Tensor
) -> None:
    """The model learns a repetition while it reads it."""
    assert evaluator.evaluate(val_ids, Adaptation(0.01, 0.0)).loss_nats < evaluate(model, val_ids).loss_nats - 0.1


def test_characters_are_scored_before_the_weights_learn_from_them(
    evaluator: DynamicEvaluator, monkeypatch: pytest.MonkeyPatch, val_ids: Tensor
) -> None:
    """The loss of the first stretches is the same whatever follows them."""
    monkeypatch.setattr(dynamic, "STRETCH_LENGTH", 20)
    changed = val_ids.clone()
    changed[101:] = 9
    losses = [[loss for loss, _ in scored(evaluator, ids)] for ids in (val_ids, changed)]
    assert losses[0][:5] == losses[1][:5]
    assert losses[0][5] != losses[1][5]


def scored(evaluator: DynamicEvaluator, ids: Tensor) -> list[tuple[float, int]]:
    """Return the summed loss after each number of whole stretches."""
    ends = range(dynamic.STRETCH_LENGTH, len(ids), dynamic.STRETCH_LENGTH)
    parts = [evaluator.evaluate(ids[: end + 1], Adaptation(0.01, 0.1)) for end in ends]
    return [(part.loss_nats * part.num_chars, part.num_chars) for part in parts]


def test_equals_the_formula(evaluator: DynamicEvaluator, model: CharLM, train_ids: Tensor, val_ids: Tensor) -> None:
    """Two updates by the formula, weight by weight in float64, give the loss of the third stretch."""
    T, rate, decay = dynamic.STRETCH_LENGTH, 0.02, 0.3
    plain = copy.deepcopy(model).eval().double()
    weights, trained = list(plain.parameters()), [weight.detach().clone() for weight in plain.parameters()]
    roots = root_mean_squares(plain, train_ids[199:], T)
    mean = torch.cat([root.flatten() for root in roots]).mean()
    states, total = plain.initial_state(1), 0.0
    for start in range(0, 3 * T, T):
        logits, states = plain(val_ids[start : start + T].long()[None], states)
        loss = F.cross_entropy(logits[0], val_ids[start + 1 : start + T + 1].long())
        total += loss.item() * T
        gradients = torch.autograd.grad(loss, weights)
        states = tuple(state.detach() for state in states)
        with torch.no_grad():
            for weight, gradient, root, first in zip(weights, gradients, roots, trained, strict=True):
                pull = (decay * root / mean).clamp(max=1)
                weight += pull * (first - weight) - rate * gradient / (root + dynamic.EPSILON * mean)
    measured = evaluator.evaluate(val_ids[: 3 * T + 1], Adaptation(rate, decay))
    assert measured.loss_nats * 3 * T == pytest.approx(total, rel=1e-5)


def root_mean_squares(model: CharLM, ids: Tensor, T: int) -> list[Tensor]:
    """Return √m of every weight, from the gradients of each stretch."""
    squares, states = [], model.initial_state(1)
    for start in range(0, len(ids) - 1, T):
        targets = ids[start + 1 : start + T + 1].long()
        logits, states = model(ids[start : start + len(targets)].long()[None], states)
        gradients = torch.autograd.grad(F.cross_entropy(logits[0], targets), list(model.parameters()))
        states = tuple(state.detach() for state in states)
        squares.append([gradient**2 for gradient in gradients])
    return [torch.stack(column).mean(dim=0).sqrt() for column in zip(*squares, strict=True)]


def test_the_model_is_not_changed(model: CharLM, train_ids: Tensor, val_ids: Tensor) -> None:
    """Neither the choice of the rate nor an evaluation changes the model's weights, gradients or mode."""
    before = copy.deepcopy(model.state_dict())
    DynamicEvaluator(model, train_ids).evaluate(val_ids)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert model.training


@pytest.mark.parametrize("power", [0, 3, 6, -2, -5])
def test_search_finds_the_optimum_on_either_side_of_its_start(power: int) -> None:
    """The search walks by factors of 2 until the loss rises."""
    assert dynamic._descend(lambda value: abs(math.log2(value / 1e-3) - power), 1e-3) == 1e-3 * 2.0**power


def test_short_text_is_refused(evaluator: DynamicEvaluator) -> None:
    """A text of one character has nothing to predict."""
    with pytest.raises(InputError, match="at least 2"):
        evaluator.evaluate(torch.tensor([1]))
