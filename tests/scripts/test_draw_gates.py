"""scripts/draw_gates.py on a model trained for two steps."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from repository import load_script

from charlm.config import Config
from charlm.training.loop import train

TEXT = "ANNA:\nCome in, it rains.\nSit down.\n\nBORIS:\nThank you; I will not stay for $5.\n\n" * 30


draw_gates = load_script("draw_gates")


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny model with two layers and return its run directory."""
    directory = tmp_path_factory.mktemp("gates")
    corpus = directory / "corpus.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    config = Config().replace("data", path=str(corpus)).replace("model", hidden_size=8, embed_size=4)
    config = config.replace("train", batch_size=2, seq_length=8, max_steps=2, device="cpu").replace("sample", length=1)
    train(config, directory / "run")
    return directory / "run"


@pytest.mark.parametrize(
    "options", [[], ["--layer", "1"], ["--text", "BORIS:\n$5, I$"]], ids=["plain", "layer", "text"]
)
def test_it_draws_a_png(run_path: Path, tmp_path: Path, options: list[str]) -> None:
    """The command writes a figure and prints the cells in it."""
    out = tmp_path / "gates.png"
    result = CliRunner().invoke(draw_gates.main, [str(run_path), "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "place in line (r " in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--layer", "3"], "1 to 2"), (["--text", "Ω"], "vocabulary: 'Ω'"), (["--text", ""], "expected 1 to 500")],
    ids=["no such layer", "unknown character", "empty text"],
)
def test_invalid_options_are_refused(run_path: Path, tmp_path: Path, options: list[str], message: str) -> None:
    """An invalid option gives an error message, and no figure is written."""
    out = tmp_path / "gates.png"
    result = CliRunner().invoke(draw_gates.main, [str(run_path), "--out", str(out), *options])
    assert (result.exit_code, out.exists()) == (1, False)
    assert message in result.stderr


def test_it_finds_the_cell_that_counts_the_line() -> None:
    """The cell that follows the position in the line is selected for it, and no cell is selected twice."""
    torch.manual_seed(0)
    text = TEXT[:400]
    c = torch.randn(len(text), 6)
    c[:, 4] = -torch.tensor(draw_gates.count_since(text, "\n"))
    others = torch.rand(5, len(text), 6)
    activations = draw_gates.Activations(others[0], others[1], others[2], c, others[3], others[4])
    choices = draw_gates.choose_cells(activations, text)
    assert choices[0] == (4, "place in line", "r -1.00")
    assert len({choice.cell for choice in choices}) == len(choices) == 4


def test_heads_are_the_first_lines_of_paragraphs() -> None:
    """The characters of a paragraph's first line are marked up to its line break, the others are not."""
    assert draw_gates.mark_heads("ab\nc\n\nd\n") == [1, 1, 0, 0, 0, 1, 1, 0]
