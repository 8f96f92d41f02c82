"""scripts/study_cells.py: its changed kernels, its measurements on a tiny model, and the resumption of a study."""

import json
import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from repository import load_script
from tolerances import PARITY, assert_near
from torch import Tensor

from charlm.config import Config
from charlm.inference.activations import record_activations
from charlm.inference.evaluation import evaluate
from charlm.lstm import LSTMState
from charlm.lstm.kernels import LSTMKernel, reference
from charlm.lstm.kernels.lookup import Characters
from charlm.model import CharLM
from charlm.text.corpus import load_corpus
from charlm.training.session import Session

script = load_script("study_cells")
T, B, E, H, V = 7, 3, 6, 5, 4


def run_with_gradients(run_layer: LSTMKernel, is_lookup: bool = False) -> list[Tensor]:
    """Return the outputs of a layer on random inputs, and the gradients of the inputs and weights."""
    torch.manual_seed(0)
    x = torch.randn(V, E) if is_lookup else torch.randn(T, B, E)
    leaves = [x, torch.randn(4 * H, E), torch.randn(4 * H, H), torch.randn(4 * H)]
    for leaf in leaves:
        leaf.requires_grad_()
    state = LSTMState(torch.randn(B, H), torch.randn(B, H))
    inputs = Characters(x, torch.randint(V, (T, B))) if is_lookup else x
    hidden, after = run_layer(inputs, *leaves[1:], state)
    gradients = torch.autograd.grad(hidden.square().sum() + after.c.sum(), leaves)
    return [hidden, *after, *gradients]


def run_equations_coupled(
    x: Tensor | Characters, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, state: LSTMState
) -> tuple[Tensor, LSTMState]:
    """Compute a layer with i = 1 - f from the equations."""
    hidden, (h, c) = [], state
    for step in x.materialize() if isinstance(x, Characters) else x:
        _, f, g, o = (step @ weight_ih.T + bias + h @ weight_hh.T).chunk(4, dim=1)
        c = f.sigmoid() * c + (1 - f.sigmoid()) * g.tanh()
        h = o.sigmoid() * c.tanh()
        hidden.append(h)
    return torch.stack(hidden), LSTMState(h, c)


@pytest.mark.parametrize("is_lookup", [False, True])
def test_loop_without_a_limit_equals_the_reference_kernel(is_lookup: bool) -> None:
    """With an infinite limit, outputs and gradients of the clipping loop are those of the reference kernel."""
    unlimited = run_with_gradients(lambda *args: script.run_clipped(*args, limit=math.inf), is_lookup)
    for actual, expected in zip(unlimited, run_with_gradients(reference.run_layer, is_lookup), strict=True):
        assert_near(actual, expected, PARITY[torch.float32])


def test_loop_clips_c() -> None:
    """With a small limit, |c| reaches the limit and does not exceed it."""
    zeros = LSTMState(torch.zeros(1, H), torch.zeros(1, H))
    weights = torch.zeros(4 * H, E), torch.zeros(4 * H, H), torch.full((4 * H,), 5.0)
    _, after = script.run_clipped(torch.zeros(20, 1, E), *weights, zeros, limit=0.5)
    assert (after.c == 0.5).all()


@pytest.mark.parametrize("is_lookup", [False, True])
def test_coupled_gates_follow_the_equation(is_lookup: bool) -> None:
    """Outputs and gradients of the coupled kernel are those of the equations with i = 1 - f."""
    coupled = run_with_gradients(script.run_coupled, is_lookup)
    for actual, expected in zip(coupled, run_with_gradients(run_equations_coupled, is_lookup), strict=True):
        assert_near(actual, expected, PARITY[torch.float32])


def test_decay_is_of_the_recurrent_weights_only(corpus_path: Path) -> None:
    """U of both layers has its own weight decay; every weight is still optimized once."""
    corpus = load_corpus(str(corpus_path), "char")
    config = Config().replace("train", batch_size=2, seq_length=4, device="cpu").replace("model", hidden_size=H)
    session = Session(config, corpus)
    script.separate_recurrent_weights(session, 1.0)
    matrices, biases, recurrent = (group["params"] for group in session.optimizer.param_groups)
    assert [id(weight) for weight in recurrent] == [id(cell.weight_hh) for cell in session.model.lstm.cells]
    assert [group["weight_decay"] for group in session.optimizer.param_groups] == [0.1, 0.0, 1.0]
    optimized = [id(weight) for weight in (*matrices, *biases, *recurrent)]
    assert sorted(optimized) == sorted(map(id, session.model.parameters()))


@pytest.fixture
def model() -> CharLM:
    """Return an untrained model of two layers, in evaluation mode."""
    return CharLM(V, 2, H, 3, generator=torch.Generator().manual_seed(1)).eval()


@pytest.mark.parametrize("window", [16, 64], ids=["windowed", "carried"])
def test_losses_are_those_of_the_evaluation(model: CharLM, window: int) -> None:
    """The mean of the losses by character is the loss of charlm's evaluation."""
    ids = torch.randint(V, (65,), generator=torch.Generator().manual_seed(2))
    losses, _ = script.score(model, ids, window, 8)
    assert float(losses.mean()) == pytest.approx(evaluate(model, ids, window).loss_nats, rel=1e-6)


def test_recorded_cells_are_those_of_the_text(model: CharLM) -> None:
    """The record of c has the states of both layers after every eighth character."""
    ids = torch.randint(V, (65,), generator=torch.Generator().manual_seed(2))
    _, cells = script.score(model, ids, 64, 8)
    expected = torch.cat([layer.c[7::8] for layer in record_activations(model, ids[:-1])], dim=1)
    assert_near(cells[:, 0], expected, PARITY[torch.float32])


def test_summary_of_a_growing_cell() -> None:
    """The sizes of a cell that falls steadily and of a constant one are their means in the parts of the text."""
    num_records = 2000
    falling = -torch.arange(float(num_records)) / 100
    summary = script.summarize_cells(torch.stack([torch.full_like(falling, 0.5), falling], dim=1))
    early = float(falling[script.EARLY].mean())
    assert summary["early"] == [0.5, pytest.approx(-early, abs=0.01)]
    assert summary["middle"] == [0.5, pytest.approx(10, abs=0.01)]
    assert summary["last"] == [0.5, pytest.approx(19, abs=0.01)]
    assert summary["max"] == [0.5, pytest.approx(20, abs=0.011)]
    assert list(summary["tracked"]) == ["1", "0"]
    assert summary["tracked"]["1"][-1] == pytest.approx(-19.9, abs=0.01)


def test_a_cell_that_only_rises_is_found(model: CharLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell made to count every character grows in the record, and the loss it spoils is measured as drift."""
    monkeypatch.setattr(script, "WINDOWS", (256, 1024))
    monkeypatch.setattr(script, "SETTLING", 64)
    monkeypatch.setattr(script, "EARLY", slice(2, 8))
    cell = model.lstm.cells[1]
    with torch.no_grad():
        for weight in (cell.weight_ih, cell.weight_hh):
            weight[::H] = 0
        cell.bias[::H] = torch.tensor([20.0, 20.0, 1e-3, 20.0])  # i, f and o are 1, and g is 0.001
        model.output.weight[0, 0] = 10.0
    result = script.measure(model, torch.randint(V, (4097,), generator=torch.Generator().manual_seed(2)))
    sizes = [result["cells"][name][H] for name in ("early", "middle", "last", "max")]
    assert sizes == [pytest.approx(size, abs=0.01) for size in (0.088, 2.09, 3.9, 4.1)]
    assert result["carried"] > result["windowed"]["1024"] > result["windowed"]["256"]
    assert result["drift"] > 3 * result["drift_error"] > 0


def test_a_study_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated command adds only the missing runs, and a run has the same result in both."""
    monkeypatch.setattr(script, "WINDOWS", (256, 512))
    monkeypatch.setattr(script, "SETTLING", 64)
    monkeypatch.setattr(script, "EARLY", slice(0, 2))
    text, out, again = tmp_path / "text.txt", tmp_path / "results.jsonl", tmp_path / "again.jsonl"
    text.write_text("To be, or not to be.\n" * 400, encoding="utf-8")
    options = ["--text", str(text), "--seeds", "1", "--steps", "2", "--width", "8"]

    def run(path: Path, *variants: str) -> list[str]:
        chosen = [part for variant in variants for part in ("--variant", variant)]
        result = CliRunner().invoke(script.main, [str(path), *options, *chosen], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return path.read_text().splitlines()

    first = run(out, "resets")
    both = run(out, "resets", "clipped")
    assert both[:1] == first
    assert [json.loads(line)["run"]["variant"] for line in both] == ["resets", "clipped"]
    assert run(again, "clipped") == both[1:]
