"""The base of a run: read from a directory or a file, and known again by its digest wherever it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recording import equal

from charlm.config import Config
from charlm.errors import InputError
from charlm.runs.base import digest_model, read_base
from charlm.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from charlm.runs.portable import write_export
from charlm.text.vocabulary import Vocabulary
from charlm.training.loop import train


def refuse_warning(message: str) -> None:
    """Fail."""
    pytest.fail(message)


@pytest.fixture
def run(config: Config, tmp_path: Path) -> Path:
    """Return the directory of a finished run, whose weights are averaged."""
    train(config.replace("train", max_steps=10), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_stands_for_its_best_model(run: Path) -> None:
    """The base is the averaged model of best.pt, and the path that was given is kept."""
    base = read_base(str(run), refuse_warning)
    assert base.path == str(run)
    assert equal(base.checkpoint.weights, load_checkpoint(run / "best.pt").weights)
    last = read_base(str(run / "last.pt"), refuse_warning).checkpoint
    assert not equal(last.weights, last.training["weights"])


def test_the_digest_is_that_of_the_model(run: Path, tmp_path: Path) -> None:
    """The digest is the same in every file of one model, whatever else the file holds."""
    base = read_base(str(run), refuse_warning)
    save_checkpoint(replace(base.checkpoint, step=0, training={}, corpus_digest="other"), tmp_path / "copy.pt")
    assert read_base(str(tmp_path / "copy.pt"), refuse_warning).digest == base.digest
    assert len(base.digest) == 64


def test_an_export_is_a_base(run: Path, tmp_path: Path) -> None:
    """An exported model begins a run as the run that it is from does, and has its digest."""
    base = read_base(str(run), refuse_warning)
    (tmp_path / "export").mkdir()
    write_export(base.checkpoint, tmp_path / "export")
    exported = read_base(str(tmp_path / "export"), refuse_warning)
    assert exported.digest == base.digest
    assert exported.checkpoint.vocabulary == base.checkpoint.vocabulary


def change_weight(checkpoint: Checkpoint) -> Checkpoint:
    """Return a model one of whose weights has another last bit."""
    weights = {name: weight.clone() for name, weight in checkpoint.weights.items()}
    bias = weights["lstm.cells.1.bias"]
    bias[3] = torch.nextafter(bias[3], torch.tensor(9.0))
    return replace(checkpoint, weights=weights)


def swap_symbols(checkpoint: Checkpoint) -> Checkpoint:
    """Return a model whose first two symbols have changed places."""
    first, second, *others = checkpoint.vocabulary.symbols
    return replace(checkpoint, vocabulary=Vocabulary("char", [second, first, *others]))


def swap_weights(checkpoint: Checkpoint) -> Checkpoint:
    """Return a model two of whose weights have changed names."""
    names = {"lstm.cells.0.bias": "lstm.cells.1.bias", "lstm.cells.1.bias": "lstm.cells.0.bias"}
    weights = {names.get(name, name): weight for name, weight in checkpoint.weights.items()}
    return replace(checkpoint, weights=weights)


@pytest.mark.parametrize("change", [change_weight, swap_symbols, swap_weights])
def test_another_model_has_another_digest(run: Path, change: Callable[[Checkpoint], Checkpoint]) -> None:
    """A change of one bit, of the order of the symbols or of the names of the weights changes the digest."""
    checkpoint = load_checkpoint(run / "best.pt")
    assert digest_model(change(checkpoint)) != digest_model(checkpoint)


def test_a_damaged_best_model_gives_way_to_a_save(run: Path) -> None:
    """What is taken in the place of a damaged best.pt is said."""
    (run / "best.pt").write_bytes(b"damaged")
    warnings: list[str] = []
    read_base(str(run), warnings.append)
    [warning] = warnings
    assert warning.endswith("Taken in its place: the save of step 10.")


def test_no_base(run: Path, tmp_path: Path) -> None:
    """A path without a model is refused, and the message begins with the key."""
    (tmp_path / "empty").mkdir()
    for path, problem in {
        tmp_path / "gone": "there is no such checkpoint",
        tmp_path / "empty": "holds no checkpoint",
        run / "metrics.jsonl": "not a complete charlm checkpoint",
    }.items():
        with pytest.raises(InputError, match=rf"^train\.init_from: {path}: .*{problem}"):
            read_base(str(path), refuse_warning)
