"""Every checkpoint format that was ever released still loads; scripts/write_format_checkpoints.py wrote the files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from repository import load_script

import charlm
from charlm.cli import run
from charlm.runs.description import FORMAT
from charlm.runs.directory import RunDirectory

CHECKPOINTS = Path(__file__).parent / "checkpoints"

RUNS = sorted(CHECKPOINTS.glob("format-*/*"))

TOLERANCE = 2e-6
"""Relative; processors differ in the last bits of a product."""


@pytest.fixture(params=RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")
def stored(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of a stored run, below a working directory in which the run finds its text."""
    shutil.copytree(request.param, tmp_path / "run")
    shutil.copy(request.param / "text.txt", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def read_expected(stored: Path) -> dict[str, Any]:
    """Return what the run had to become."""
    expected: dict[str, Any] = json.loads((stored / "expected.json").read_text(encoding="utf-8"))
    return expected


def test_the_present_format_is_stored() -> None:
    """A new format comes with its files."""
    stored = {path.name for path in RUNS if path.parent.name == f"format-{FORMAT}"}
    assert stored == set(load_script("write_format_checkpoints").RUNS)


def test_evaluates_to_the_stored_loss(stored: Path) -> None:
    """The best checkpoint is that of the stored step, and has the stored validation loss."""
    model = charlm.load(stored, "cpu")
    expected = read_expected(stored)
    assert model.checkpoint.step == expected["step"]
    assert model.checkpoint.loss_nats == expected["val_loss_nats"]
    assert model.evaluate_split("val").loss_nats == pytest.approx(expected["val_loss_nats"], rel=TOLERANCE)


def test_samples_the_stored_text(stored: Path) -> None:
    """A greedy sample is the stored one."""
    assert charlm.load(stored, "cpu").sample("20 ", length=40, temperature=0) == read_expected(stored)["greedy_sample"]


def test_resumes_to_the_stored_ending(stored: Path) -> None:
    """The run goes on from last.pt and logs the losses of the run that was never stopped."""
    assert run(["train", "--out", str(stored), "--resume"]) == 0
    rows = RunDirectory(stored).read_rows()
    losses = {f"{row['split']} {row['step']}": row["loss_nats"] for row in rows}
    assert losses == pytest.approx(read_expected(stored)["losses_nats"], rel=TOLERANCE)
