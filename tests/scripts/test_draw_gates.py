"""scripts/draw_gates.py on a model trained for two steps."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from repository import load_script

from charlm.config import Config
from charlm.inference.reading import read_text
from charlm.inference.trained import load
from charlm.inspection.properties import measure_properties
from charlm.inspection.tracking import track_properties
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
    assert "place in the line (r " in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--layer", "3"], "1 to 2"), (["--text", "ΩI"], "vocabulary: 'Ω'"), (["--text", ""], "expected 2 to 500")],
    ids=["no such layer", "unknown character", "empty text"],
)
def test_invalid_options_are_refused(run_path: Path, tmp_path: Path, options: list[str], message: str) -> None:
    """An invalid option gives an error message, and no figure is written."""
    out = tmp_path / "gates.png"
    result = CliRunner().invoke(draw_gates.main, [str(run_path), "--out", str(out), *options])
    assert (result.exit_code, out.exists()) == (1, False)
    assert message in result.stderr


def test_it_draws_the_cells_that_follow_the_text(run_path: Path) -> None:
    """The cell that follows the position in the line is selected for it, and no cell is selected twice."""
    trained = load(run_path, "cpu")
    reading = read_text(trained.model, trained.vocabulary, trained.load_split("val")[:100].long())
    c = reading.activations["c"]
    c[1] = np.random.default_rng(0).normal(size=c.shape[1:])
    c[1, :, 4] = -measure_properties("".join(reading.symbols))["place in the line"]
    choices = draw_gates.choose_cells(reading, track_properties(reading, "char"), 1)
    assert choices[0] == (4, "place in the line", "r -1.00")
    assert len({choice.cell for choice in choices}) == len(choices) == 4
    assert choices[3].reason == "keeps longest"
