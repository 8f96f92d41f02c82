"""The optimizer's step."""

import math

import pytest
import torch

from charlm.config import TrainConfig
from charlm.model import CharLM
from charlm.text.streams import Batch
from charlm.training.optimization import build_optimizer, choose_precision, train_step


def make(weight_decay: float = 0.0) -> tuple[CharLM, torch.optim.AdamW, Batch]:
    """Return a small model, its optimizer and a batch."""
    torch.manual_seed(1)
    model = CharLM(5, 1, 6, 4)
    ids = torch.randint(5, (2, 8))
    optimizer = build_optimizer(model, TrainConfig(weight_decay=weight_decay))
    return model, optimizer, Batch(ids[:, :-1], ids[:, 1:], True)


def step(model: CharLM, optimizer: torch.optim.AdamW, batch: Batch, grad_clip: float = 0.0) -> tuple[float, float]:
    """Take a step in float32 with learning rate 0.01; return loss and gradient norm."""
    result = train_step(model, optimizer, batch, model.initial_state(2), 0.01, grad_clip, "fp32")
    assert not any(tensor.requires_grad for state in result.states for tensor in state)
    return result.loss_nats, result.grad_norm


def test_biases_do_not_decay() -> None:
    """Weight decay shrinks matrices and leaves biases alone."""
    model, optimizer, _ = make(weight_decay=1.0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    unchanged = {name for name, weight in model.named_parameters() if torch.equal(weight, before[name])}
    assert unchanged == {"lstm.cells.0.bias", "output.bias"}


def test_steps_lower_the_loss() -> None:
    """A hundred and fifty steps on one batch learn it."""
    model, optimizer, batch = make()
    losses = [step(model, optimizer, batch)[0] for _ in range(150)]
    assert losses[0] == pytest.approx(math.log(5), abs=0.3)
    assert losses[-1] < losses[0] / 2


def test_clipping_bounds_the_gradient() -> None:
    """The optimizer receives a gradient with the maximum norm, and the result has the norm before clipping."""
    model, optimizer, batch = make()
    _, free_norm = step(model, optimizer, batch)
    model, optimizer, batch = make()
    _, told_norm = step(model, optimizer, batch, grad_clip=0.01)
    clipped = torch.stack([weight.grad.norm() for weight in model.parameters() if weight.grad is not None]).norm()
    assert told_norm == pytest.approx(free_norm)
    assert clipped.item() == pytest.approx(0.01, rel=1e-3)


def test_gradient_that_is_no_number_is_not_applied() -> None:
    """If the gradient is not finite, the weights do not change."""
    model, optimizer, batch = make()
    with torch.no_grad():
        model.output.bias[0] = math.inf
    before = [weight.detach().clone() for weight in model.parameters()]
    result = train_step(model, optimizer, batch, model.initial_state(2), 0.01, 1.0, "fp32")
    assert not result.is_finite
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_bf16_is_close_to_fp32() -> None:
    """A step in bf16 has nearly the loss of one in fp32, and the state stays float32."""
    model, optimizer, batch = make()
    exact = train_step(model, optimizer, batch, model.initial_state(2), 0.0, 1.0, "fp32")
    rough = train_step(model, optimizer, batch, model.initial_state(2), 0.0, 1.0, "bf16")
    assert rough.loss_nats == pytest.approx(exact.loss_nats, rel=1e-2)
    assert rough.loss_nats != exact.loss_nats
    assert {tensor.dtype for state in rough.states for tensor in state} == {torch.float32}


@pytest.mark.parametrize(("is_bf16_fast", "expected"), [(True, "bf16"), (False, "fp32")])
def test_automatic_precision(is_bf16_fast: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto selects bf16 if the kernel is faster in it; an explicit precision is used unchanged."""
    model, _, _ = make()
    kernel = model.lstm.kernel._replace(is_bf16_fast=is_bf16_fast)
    monkeypatch.setattr(type(model.lstm), "kernel", property(lambda _: kernel))
    assert choose_precision("auto", model) == expected
    assert choose_precision("fp32", model) == "fp32"
    assert choose_precision("bf16", model) == "bf16"
