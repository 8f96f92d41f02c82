"""The overview of runs: what it says about sound, running and damaged ones, and what it reads."""

import math
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Stopper
from texts import TEXT

from charlm.config import Config
from charlm.errors import InputError, StoppedError
from charlm.export.directory import import_model
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.runs.overview import find_runs, summarize
from charlm.runs.portable import write_export
from charlm.training.loop import TrainingResult, train
from charlm.training.reporter import Reporter


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config, TrainingResult]:
    """Return the directory of a finished run, its configuration and its result."""
    directory = tmp_path_factory.mktemp("finished")
    (directory / "text").write_text(TEXT)
    config = (
        Config()
        .replace("data", path=str(directory / "text"))
        .replace("model", num_layers=1, hidden_size=4, embed_size=2)
        .replace("train", batch_size=2, seq_length=8, max_steps=30, warmup_steps=2, eval_every=10, checkpoint_every=7)
        .replace("train", log_every=4, kernel="reference", device="cpu", precision="fp32")
        .replace("sample", length=1)
    )
    return directory / "run", config, train(config, directory / "run")


@pytest.fixture
def config(finished: tuple[Path, Config, TrainingResult]) -> Config:
    """Return a configuration of a tiny model."""
    return finished[1]


@pytest.fixture
def run(finished: tuple[Path, Config, TrainingResult], tmp_path: Path) -> Path:
    """Return a copy of the finished run."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def test_finished_run(finished: tuple[Path, Config, TrainingResult]) -> None:
    """The summary has the size, the steps, the lowest loss and the time that training returned."""
    directory, config, result = finished
    summary = summarize(RunDirectory(directory))
    assert (summary.state, summary.problems) == ("finished", [])
    assert summary.config == config
    assert summary.num_parameters == result.num_parameters["whole"]
    assert (summary.step, summary.last_step) == (30, 30)
    assert summary.best_loss_nats == result.best_loss_nats
    assert summary.elapsed_s == result.elapsed_s > 0


def test_stopped_run(config: Config, tmp_path: Path) -> None:
    """A run that was stopped has the steps that were saved; before the first validation there is no loss."""
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Stopper(6))
    summary = summarize(RunDirectory(tmp_path / "run"))
    assert (summary.state, summary.problems) == ("stopped", [])
    assert (summary.step, summary.last_step, summary.best_loss_nats) == (6, 30, None)


def test_run_that_stopped_early(config: Config, tmp_path: Path) -> None:
    """A run that ended because its patience ran out is finished at fewer steps than it might have taken."""
    letters = random.Random(1)  # noqa: S311
    (tmp_path / "random").write_text("".join(letters.choice("abcdefgh") for _ in range(1000)))
    patient = config.replace("train", patience=1, max_steps=200, eval_every=5, learning_rate=0.1)
    result = train(patient.replace("data", path=str(tmp_path / "random")), tmp_path / "run")
    assert result.steps < 200
    summary = summarize(RunDirectory(tmp_path / "run"))
    assert (summary.state, summary.step, summary.last_step) == ("finished", result.steps, result.steps)


def test_running_run(config: Config, tmp_path: Path) -> None:
    """While a process trains, the rows that it has logged since its last save count."""
    seen = []

    class Watch(Reporter):
        def advance(self, step: int, num_chars: int) -> None:
            if step == 13:
                (tmp_path / "run" / "config.yaml").unlink()  # files may be missing while they are replaced
                seen.append(summarize(RunDirectory(tmp_path / "run")))

    train(config.replace("train", checkpoint_every=1000), tmp_path / "run", reporter=Watch())
    [summary] = seen
    rows = RunDirectory(tmp_path / "run").read_rows()
    assert (summary.state, summary.problems) == ("running", [])
    assert (summary.step, summary.last_step) == (12, 30)
    assert [summary.best_loss_nats] == [row["loss_nats"] for row in rows if row["split"] == "val" and row["step"] <= 12]
    assert summary.elapsed_s == next(row["elapsed_s"] for row in rows if row["step"] == 12)


def test_best_model_alone(run: Path) -> None:
    """A directory with best.pt alone shows what that says, and is damaged since it cannot be resumed."""
    for path in run.iterdir():
        if path.name != "best.pt":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    best = summarize(RunDirectory(run))
    assert best.state == "damaged"
    assert best.problems == [f"{run}/last.pt: missing.", f"{run}/config.yaml: missing."]
    assert best.config is not None
    assert best.best_loss_nats is not None
    assert best.elapsed_s is None


def test_imported_model(run: Path, tmp_path: Path) -> None:
    """A model that was imported lacks nothing; beside it the metrics of a run would show that its saves are lost."""
    import_model(write_tiny_export(run, tmp_path), tmp_path / "imported")
    imported = summarize(RunDirectory(tmp_path / "imported"))
    assert (imported.state, imported.problems) == ("finished", [])
    assert imported.best_loss_nats is not None
    shutil.copy(run / "metrics.jsonl", tmp_path / "imported")
    assert summarize(RunDirectory(tmp_path / "imported")).problems == [f"{tmp_path}/imported/last.pt: missing."]


def write_tiny_export(run: Path, tmp_path: Path) -> Path:
    """Export the best model of a run, as if it were of an early step."""
    (tmp_path / "exported").mkdir()
    write_export(replace(load_checkpoint(run / "best.pt"), step=3), tmp_path / "exported")
    return tmp_path / "exported"


def cut(path: Path) -> None:
    """Cut a file to half its size, as a full disk does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("last.pt", cut, "not a complete charlm checkpoint"),
        ("last.pt", Path.unlink, "last.pt: missing."),
        ("best.pt", cut, "missing, or not a complete checkpoint."),
        ("best.pt", Path.unlink, "missing, or not a complete checkpoint."),
        ("config.yaml", Path.unlink, "config.yaml: missing."),
        ("metrics.jsonl", cut, "bytes are there."),
        ("metrics.jsonl", Path.unlink, "metrics.jsonl: 0 of"),
    ],
)
def test_damaged_file(run: Path, name: str, damage: Callable[[Path], None], problem: str) -> None:
    """A file that is missing or cut off is named, and the newest sound save tells the rest."""
    damage(run / name)
    summary = summarize(RunDirectory(run))
    assert summary.state == "damaged"
    assert [problem in each for each in summary.problems] == [True]
    assert name in summary.problems[0]
    assert summary.step == (28 if name == "last.pt" else 30)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("elapsed_s", "long"),
        ("elapsed_s", math.nan),
        ("best", []),
        ("best", [-1.0, 3]),
        ("decay", {"end": 10**9}),
        ("decay", {"end": 3.0}),
        ("decay", 7),
        ("metrics", {"num_bytes": 10**9}),
    ],
)
def test_lying_training_state(run: Path, key: str, value: object) -> None:
    """A save with another value than charlm writes is damaged."""
    content = torch.load(run / "last.pt", weights_only=True)
    content["training"][key] = value
    torch.save(content, run / "last.pt")
    summary = summarize(RunDirectory(run))
    assert summary.state == "damaged"
    assert len(summary.problems) == 1


def test_all_files_damaged(tmp_path: Path) -> None:
    """Where nothing can be read nothing is known, and each checkpoint is named."""
    for name in ("last.pt", "last-1.pt", "best.pt", "config.yaml"):
        (tmp_path / name).write_bytes(b"\0\xff not a checkpoint")
    summary = summarize(RunDirectory(tmp_path))
    assert (summary.state, summary.config, summary.step) == ("damaged", None, None)
    assert [problem.partition(":")[0] for problem in summary.problems] == [
        str(tmp_path / name) for name in ("last.pt", "last-1.pt", "best.pt")
    ]


def test_tensors_are_not_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look reads the pickle of a checkpoint alone: neither the numbers of its tensors nor their checksums."""
    read: list[str] = []

    class Watched(zipfile.ZipFile):
        def read(self, name: Any, pwd: bytes | None = None) -> bytes:
            read.append(name.filename)
            return super().read(name, pwd)

        def testzip(self) -> str | None:
            return pytest.fail("read")

    monkeypatch.setattr("zipfile.ZipFile", Watched)
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("read"))
    summary = summarize(RunDirectory(run))
    assert (summary.state, summary.problems) == ("finished", [])
    assert read == ["archive/data.pkl"]


def test_runs_are_found_below(run: Path, tmp_path: Path) -> None:
    """Runs are found at any depth in the order of their paths, but not in runs, hidden directories or through links."""
    for name in ("b", "a/deep/er", ".hidden", "b/inner"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "metrics.jsonl").touch()
    (tmp_path / "link").symlink_to(run)
    found = find_runs(tmp_path, pytest.fail)
    assert [each.path for each in found] == [tmp_path / "a/deep/er", tmp_path / "b", run]
    assert [each.path for each in find_runs(run, pytest.fail)] == [run]


@pytest.mark.parametrize("name", ["nowhere", "file", "x" * 5000, "nul\0"])
def test_no_directory(tmp_path: Path, name: str) -> None:
    """A path that is no directory is refused with what to give."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be searched for runs.*Give a directory"):
        list(find_runs(tmp_path / name, pytest.fail))
