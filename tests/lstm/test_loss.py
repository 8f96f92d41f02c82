"""The loss in C: its value and its gradient against torch's in float64."""

import pytest
import torch
from instruction_sets import needs_compiler, on_every_instruction_set
from tolerances import LOSS_GRADIENT, PARITY, assert_near
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import InputError
from charlm.lstm.kernels.loss import cross_entropy, mean_loss

in_both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


def draw(N: int, V: int, dtype: torch.dtype, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return random logits (N, V), which do not lie in order in memory, and targets (N,)."""
    torch.manual_seed(N * 1000 + V)
    return (scale * torch.randn(V, N)).to(dtype).T.requires_grad_(), torch.randint(V, (N,))


@needs_compiler
@on_every_instruction_set
@in_both_dtypes
@pytest.mark.parametrize("scale", [1.0, 40.0])
@pytest.mark.parametrize(("N", "V"), [(1, 1), (3, 2), (7, 16), (64, 65), (5, 300)])
def test_loss_and_gradient(N: int, V: int, scale: float, dtype: torch.dtype, instruction_set: str) -> None:
    """The mean loss and the gradient of three times the loss equal those of torch in float64."""
    logits, targets = draw(N, V, dtype, scale)
    loss = mean_loss(logits, targets, instruction_set)
    exact = F.cross_entropy(logits.double(), targets)
    assert_near(loss.double(), exact, PARITY[torch.float32])
    for factor in (1, 3):
        (actual,) = torch.autograd.grad(factor * loss, logits, retain_graph=True)
        (expected,) = torch.autograd.grad(factor * exact, logits, retain_graph=True)
        assert actual.dtype == dtype
        assert_near(N * actual.double(), N * expected.double(), LOSS_GRADIENT[dtype])


@needs_compiler
@on_every_instruction_set
def test_threads_give_the_same_loss(instruction_set: str) -> None:
    """One, two and three threads give the same bits, loss and gradient."""
    logits, targets = draw(50, 65, torch.float32)
    results = []
    num_threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        loss = mean_loss(logits, targets, instruction_set)
        results.append(torch.cat([loss[None], *torch.autograd.grad(loss, logits)[0]]))
    torch.set_num_threads(num_threads)
    assert [torch.equal(result, results[0]) for result in results] == [True] * 3


@needs_compiler
@on_every_instruction_set
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_logits_break_the_loss(value: float, instruction_set: str) -> None:
    """A logit that is not a number, or infinite, makes the loss not finite, so that the step is skipped."""
    logits, targets = draw(4, 65, torch.float32)
    with torch.no_grad():
        logits[2, 60] = value
    assert not mean_loss(logits, targets, instruction_set).isfinite()


@needs_compiler
@pytest.mark.parametrize("target", [-1, 65])
def test_targets_outside_the_vocabulary_are_refused(target: int) -> None:
    """A target that is no symbol is an error that gives the range."""
    logits, targets = draw(4, 65, torch.float32)
    targets[3] = target
    with pytest.raises(InputError, match=r"targets must be in 0\.\.64"):
        mean_loss(logits, targets)


def test_torch_computes_the_loss_in_float32() -> None:
    """The loss of the other kernels is torch's in float32, also of bfloat16 logits."""
    logits, targets = draw(8, 65, torch.bfloat16)
    loss = cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    assert_near(loss.double(), F.cross_entropy(logits.double(), targets), PARITY[torch.float32])
