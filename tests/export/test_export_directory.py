"""Export directories, and run directories of exported models."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from charlm.errors import CharlmError, InputError
from charlm.export import directory
from charlm.export.directory import check_export, export_model, import_model
from charlm.inference.trained import TrainedModel, load


@pytest.fixture(autouse=True)
def _short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.export.card.compare_samples", lambda _: [])


def test_an_export_is_a_trained_model(trained: TrainedModel, tmp_path: Path) -> None:
    """It is loaded as a run is: it samples, evaluates its text and has the configuration of the run."""
    exported = export_model(trained, tmp_path / "new" / "exported", "safetensors", int8=False)
    assert exported.sizes.keys() == {"README.md", "config.json", "model.safetensors"}
    assert exported.no_text_reason is None
    loaded = load(tmp_path / "new" / "exported", "cpu")
    assert loaded.checkpoint.config == trained.checkpoint.config
    assert loaded.sample(length=50, seed=1) == trained.sample(length=50, seed=1)
    assert loaded.evaluate_split("val") == trained.evaluate_split("val")


def test_an_import_is_a_run(trained: TrainedModel, tmp_path: Path) -> None:
    """The weights come back to the bit, with the configuration beside them."""
    export_model(trained, tmp_path / "exported", "safetensors", int8=False)
    import_model(tmp_path / "exported", tmp_path / "run")
    loaded = load(tmp_path / "run", "cpu")
    weights = trained.checkpoint.weights
    assert all(torch.equal(loaded.checkpoint.weights[name], weight) for name, weight in weights.items())
    assert (tmp_path / "run" / "config.yaml").read_text() == trained.checkpoint.config.to_yaml()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"best.pt", "config.yaml"}


def test_onnx_has_graphs_and_a_card(trained: TrainedModel, tmp_path: Path) -> None:
    """Graphs, quantized graphs, config.json and a card with what was measured."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'charlm[onnx]'")
    exported = export_model(trained, tmp_path / "web", "onnx", int8=True)
    graphs = {"step.onnx", "sequence.onnx", "step_int8.onnx", "sequence_int8.onnx"}
    assert exported.sizes.keys() == graphs | {"README.md", "config.json"}
    assert exported.onnx is not None
    assert exported.onnx.int8 is not None
    card = (tmp_path / "web" / "README.md").read_text()
    assert (
        f"was {exported.onnx.agreement.difference:.1e}, and the greedy text was the same for 1,000 characters" in card
    )
    assert f"was {exported.onnx.int8.int8_bits:.4f} bits per character instead of" in card
    assert "Opset 17." in card


def test_a_text_that_is_gone_is_named(trained: TrainedModel, tmp_path: Path) -> None:
    """The export is made without it, and the reason is returned."""
    elsewhere = replace(trained, checkpoint=replace(trained.checkpoint, corpus_digest="of another text"))
    exported = export_model(elsewhere, tmp_path / "exported", "safetensors", int8=False)
    assert exported.no_text_reason is not None
    assert "has changed since" in exported.no_text_reason
    assert "not at hand" in (tmp_path / "exported" / "README.md").read_text()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_there_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Anything at the path is refused, by exports and by imports."""
    out = tmp_path / "out"
    make = {"file": out.touch, "directory": out.mkdir, "link": lambda: out.symlink_to("nowhere")}
    make[kind]()
    with pytest.raises(InputError, match=r"out: exists already"):
        check_export(out, "safetensors", int8=False)
    with pytest.raises(InputError, match=r"out: exists already"):
        import_model(tmp_path, out)


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the command that installs it is said before any work."""
    monkeypatch.setattr(directory, "find_spec", lambda name: None if name == "onnxruntime" else object())
    check_export(tmp_path / "out", "safetensors", int8=False)
    with pytest.raises(InputError, match=r"needs onnxruntime; install with: pip install 'charlm\[onnx\]'"):
        check_export(tmp_path / "out", "onnx", int8=False)


def test_int8_is_for_onnx(tmp_path: Path) -> None:
    """Weights in a safetensors file are not quantized."""
    with pytest.raises(InputError, match="--format onnx too"):
        check_export(tmp_path / "out", "safetensors", int8=True)


def test_a_failed_export_leaves_nothing(trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one message, and no directory is left, not even a temporary one."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory, "write_export", fail)
    with pytest.raises(CharlmError, match="No space left on device"):
        export_model(trained, tmp_path / "exported", "safetensors", int8=False)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_import_leaves_nothing(trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one message that names the directory of --out, and no directory is left."""

    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    export_model(trained, tmp_path / "exported", "safetensors", int8=False)
    monkeypatch.setattr("os.fsync", fail)
    out = tmp_path / "run"
    expected = f"--out {out}: cannot be written: No space left on device; free disk space or give another."
    with pytest.raises(CharlmError, match=f"^{re.escape(expected)}$"):
        import_model(tmp_path / "exported", out)
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]


def test_a_damaged_export_is_not_imported(trained: TrainedModel, tmp_path: Path) -> None:
    """Nothing is written."""
    export_model(trained, tmp_path / "exported", "safetensors", int8=False)
    weights = tmp_path / "exported" / "model.safetensors"
    shutil.copy(weights, tmp_path / "kept")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model\.safetensors: refused"):
        import_model(tmp_path / "exported", tmp_path / "run")
    assert not (tmp_path / "run").exists()
