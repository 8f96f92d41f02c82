"""What a user names as a trained model."""

import shutil
from pathlib import Path

import pytest

from charlm.errors import InputError
from charlm.runs.checkpoint import save_checkpoint
from charlm.runs.opening import open_model
from charlm.runs.portable import write_export

from test_checkpoint import make_checkpoint  # isort: skip


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a directory with a run whose best model is of step 7, a checkpoint of step 8 and an export of step 9."""
    for name in ("run", "export"):
        (tmp_path / name).mkdir()
    save_checkpoint(make_checkpoint(step=7), tmp_path / "run" / "best.pt")
    save_checkpoint(make_checkpoint(step=8), tmp_path / "one.pt")
    write_export(make_checkpoint(step=9), tmp_path / "export")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "step"), [("run", 7), ("run/best.pt", 7), ("one.pt", 8), ("export", 9), ("export/model.safetensors", 9)]
)
def test_each_kind_of_model(models: Path, name: str, step: int) -> None:
    """A run, a checkpoint and an export are told apart."""
    checkpoint, damaged = open_model(models / name)
    assert checkpoint.step == step
    assert damaged == {}


def test_a_run_stays_a_run(models: Path) -> None:
    """A run directory with an export in it is read as a run."""
    shutil.copytree(models / "export", models / "run", dirs_exist_ok=True)
    assert open_model(models / "run")[0].step == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "there is no such checkpoint"), ("none.safetensors", "config.json: there is no such file")],
)
def test_nothing_there(tmp_path: Path, name: str, message: str) -> None:
    """A path with nothing is named."""
    with pytest.raises(InputError, match=message):
        open_model(tmp_path / name)


def test_an_export_without_weights(models: Path) -> None:
    """A directory with a config.json alone, such as one of an ONNX export, says which file is missing."""
    (models / "export" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: there is no such file"):
        open_model(models / "export")
