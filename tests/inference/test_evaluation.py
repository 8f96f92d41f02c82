"""The exact loss: one pass, whatever the batch, and windows from the zero state."""

import math

import pytest
import torch
from torch.nn import functional as F

from charlm.errors import CharlmError, InputError
from charlm.inference import evaluation
from charlm.inference.evaluation import Evaluation, evaluate
from charlm.model import CharLM

V = 7


@pytest.fixture
def model() -> CharLM:
    """Return a model whose weights are large enough to matter, with dropout, in training mode."""
    torch.manual_seed(1)
    model = CharLM(V, 2, 12, 6, dropout=0.3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model.train()


@pytest.fixture
def ids() -> torch.Tensor:
    """Return a text whose length is a multiple of no window or batch, in the type of a corpus."""
    return torch.randint(V, (2999,), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def plain_loss(model: CharLM, ids: torch.Tensor) -> float:
    """Return the summed loss of one plain pass over a text, step by step."""
    model.eval()
    states = model.initial_state(1)
    total = 0.0
    with torch.no_grad():
        for place in range(len(ids) - 1):
            logits, states = model.step(ids[place : place + 1].long(), states)
            total += F.cross_entropy(logits, ids[place + 1 : place + 2].long()).item()
    model.train()
    return total


@pytest.mark.parametrize("chunk_length", [1, 17, 2998, 5000])
def test_equals_one_plain_pass(
    model: CharLM, ids: torch.Tensor, chunk_length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is that of one pass with the state carried, whatever is scored at a time."""
    monkeypatch.setattr(evaluation, "CHUNK_LENGTH", chunk_length)
    result = evaluate(model, ids)
    assert result.num_chars == 2998
    assert result.loss_nats == pytest.approx(plain_loss(model, ids) / 2998, abs=1e-6)


def test_state_that_never_fades(model: CharLM, ids: torch.Tensor) -> None:
    """A state that never fades is carried to the end, and windows differ by it."""
    with torch.no_grad():
        for cell in model.lstm.cells:
            cell.bias[12:24] = 30.0  # a cell that never forgets
    assert evaluate(model, ids).loss_nats == pytest.approx(plain_loss(model, ids) / 2998, rel=1e-6)
    assert abs(evaluate(model, ids).loss_nats - evaluate(model, ids, 100).loss_nats) > 1e-3


@pytest.mark.parametrize("windows_at_once", [1, 4, 100])
@pytest.mark.parametrize("window", [1, 7, 100, 5000])
def test_windows_start_from_zero(
    model: CharLM, ids: torch.Tensor, window: int, windows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every window is predicted from the zero state, and every character once."""
    ids = ids[:400]
    expected = sum(plain_loss(model, ids[start : start + window + 1]) for start in range(0, 399, window))
    monkeypatch.setattr(evaluation, "WINDOWS_AT_ONCE", windows_at_once)
    result = evaluate(model, ids, window)
    assert result.num_chars == 399
    assert result.loss_nats == pytest.approx(expected / 399, abs=1e-6)


def test_small_chunks_of_logits(model: CharLM, ids: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on the logits in memory changes nothing."""
    expected = evaluate(model, ids).loss_nats
    monkeypatch.setattr(evaluation, "MAX_LOGITS", 1)
    assert evaluate(model, ids).loss_nats == pytest.approx(expected, abs=1e-7)


def test_leaves_mode_and_randomness_alone(model: CharLM, ids: torch.Tensor) -> None:
    """Evaluation drops nothing, draws no random number, and leaves the model in training."""
    before = torch.get_rng_state()
    assert evaluate(model, ids) == evaluate(model, ids)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


def test_units() -> None:
    """Bits are nats by ln 2, and perplexity is the exponential."""
    result = Evaluation(math.log(8), 10)
    assert result.bits_per_char == pytest.approx(3)
    assert result.perplexity == pytest.approx(8)


@pytest.mark.parametrize("length", [0, 1])
def test_too_short(model: CharLM, length: int) -> None:
    """A text with nothing to predict is refused."""
    with pytest.raises(InputError, match="nothing to predict; give at least 2"):
        evaluate(model, torch.zeros(length, dtype=torch.uint8))


def test_broken_weights(model: CharLM, ids: torch.Tensor) -> None:
    """A loss that is not a number raises an error."""
    with torch.no_grad():
        model.output.bias[0] = math.nan
    with pytest.raises(CharlmError, match="not a number"):
        evaluate(model, ids)
