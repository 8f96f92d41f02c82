"""The start of a resumed run: each damaged file is reported and repaired, and the run ends as if it were undamaged."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from recording import Recorder, Stopper, equal, rows_without_times, without_times

from charlm.config import Config
from charlm.errors import InputError, StoppedError
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.reporter import RunDescription


def stop(config: Config, run: Path, step: int) -> None:
    """Train a run up to a step."""
    with pytest.raises(StoppedError):
        train(config, run, reporter=Stopper(step))


def resume(config: Config, run: Path) -> list[str]:
    """Resume a run to its end, and return the warnings."""
    recorder = Recorder()
    train(config, run, resume=True, reporter=recorder)
    return recorder.warnings


def assert_same_end(run: Path, other: Path) -> None:
    """Fail unless both runs have the same final save and the same best model."""
    for name in ("last.pt", "best.pt"):
        first, second = (load_checkpoint(directory / name) for directory in (run, other))
        assert equal(without_times(first), without_times(second)), name


def flip(path: Path, place: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    """Delete a file."""
    path.unlink()


def empty(path: Path) -> None:
    """Keep nothing of a file."""
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """Remove 30 bytes at the end of a file."""
    path.write_bytes(path.read_bytes()[:-30])


def replace_by_directory(path: Path) -> None:
    """Put a directory in the place of a file."""
    path.unlink()
    path.mkdir()


ALL = [remove, empty, cut, replace_by_directory]


@pytest.mark.parametrize("damage", ALL)
def test_damaged_configuration_is_written_again(config: Config, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A damaged config.yaml is kept under another name, and written again from the save."""
    path = tmp_path / "run" / "config.yaml"
    config = config.replace("train", max_steps=10)
    stop(config, tmp_path / "run", 2)
    damage(path)
    [warning] = resume(config, tmp_path / "run")
    assert warning.startswith(f"{path}: ")
    assert "written again from the configuration in last.pt" in warning
    assert ("Renamed to config.yaml.damaged." in warning) == (damage is not remove)
    assert path.read_text() == config.to_yaml()
    assert path.with_name("config.yaml.damaged").exists() == (damage is not remove)


@pytest.mark.parametrize("damage", ALL)
def test_damaged_best_model_is_replaced(config: Config, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A run that lost its best model continues exactly, and keeps the best one from now on, measured anew."""
    train(config, tmp_path / "undisturbed")
    stop(config, tmp_path / "run", 17)
    path = tmp_path / "run" / "best.pt"
    damage(path)
    [warning] = resume(config, tmp_path / "run")
    assert warning.startswith(f"{path}: ")
    assert "The model of step 17, with a validation loss of " in warning
    assert path.with_name("best.pt.damaged").exists() == (damage is not remove)
    assert_same_end(tmp_path / "run", tmp_path / "undisturbed")
    assert rows_without_times(tmp_path / "run") == rows_without_times(tmp_path / "undisturbed")


def test_finished_run_gets_its_best_model_back(config: Config, tmp_path: Path) -> None:
    """Where the newest save is the best model, it replaces a lost best.pt exactly."""
    train(config, tmp_path / "run")
    before = load_checkpoint(tmp_path / "run" / "best.pt")
    assert before.step == 30
    (tmp_path / "run" / "best.pt").unlink()
    [warning] = resume(config, tmp_path / "run")
    assert "missing, although the run has saved it. The model of step 30" in warning
    assert equal(
        vars(load_checkpoint(tmp_path / "run" / "best.pt")) | {"vocabulary": 0}, vars(before) | {"vocabulary": 0}
    )
    assert resume(config, tmp_path / "run") == []


def test_best_model_that_no_save_knows(config: Config, tmp_path: Path) -> None:
    """A damaged best.pt from after the save is renamed; the repeated validation writes it again."""
    train(config, tmp_path / "undisturbed")
    stop(config, tmp_path / "run", 8)
    empty(tmp_path / "run" / "best.pt")
    [warning] = resume(config, tmp_path / "run")
    assert "Renamed to best.pt.damaged. It is written again after the next validation." in warning
    assert_same_end(tmp_path / "run", tmp_path / "undisturbed")


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_file_of_another_run_is_refused(config: Config, tmp_path: Path, name: str) -> None:
    """A best.pt or last.pt that was swapped with that of another run is refused, and nothing is moved."""
    other = config.replace("train", seed=9)
    train(config, tmp_path / "run")
    train(other, tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, tmp_path / "run" / name)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("[!.]*")}
    with pytest.raises(
        InputError, match=r"of different runs: from best\.pt to last\.pt, train\.seed was \d and is now"
    ):
        train(config if name == "best.pt" else other, tmp_path / "run", resume=True)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("[!.]*")}


def test_save_that_cannot_be_read_is_not_skipped(config: Config, tmp_path: Path) -> None:
    """A save in a newer format is not damaged: the run is refused, and no file is moved."""
    train(config, tmp_path / "run")
    last = tmp_path / "run" / "last.pt"
    torch.save(torch.load(last) | {"format": 2}, last)
    before = sorted((tmp_path / "run").iterdir())
    with pytest.raises(InputError, match=r"Upgrade charlm"):
        train(config, tmp_path / "run", resume=True)
    assert sorted((tmp_path / "run").iterdir()) == before


def test_good_model_without_a_save_is_not_overwritten(config: Config, tmp_path: Path) -> None:
    """A run of which only best.pt is left is refused, and best.pt is unchanged."""
    train(config, tmp_path / "run")
    for path in (tmp_path / "run").glob("last*.pt"):
        path.unlink()
    before = (tmp_path / "run" / "best.pt").read_bytes()
    with pytest.raises(
        InputError, match=r"holds best\.pt and config\.yaml and metrics\.jsonl of a run, but no last\.pt"
    ):
        train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "best.pt").read_bytes() == before


def test_run_can_resume_before_its_first_regular_save(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The save of step 0 is the first file of a run, so that any file is written beside a save."""
    files: list[list[str]] = []

    def note(run: RunDirectory, text: str) -> None:
        files.append(sorted(path.name for path in run.path.iterdir()))
        write(run, text)

    write = RunDirectory.write_config
    monkeypatch.setattr(RunDirectory, "write_config", note)
    stop(config.replace("train", checkpoint_every=99), tmp_path / "run", 4)
    assert files == [[".lock", ".lock.pid", "last.pt", "samples"]]


def test_longer_run_that_is_killed_stays_longer(config: Config, tmp_path: Path) -> None:
    """A changed configuration is saved at once, before any step."""
    stop(config, tmp_path / "run", 8)
    longer = config.replace("train", max_steps=40)

    class Killer(Recorder):
        def start(self, run: RunDescription) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(longer, tmp_path / "run", resume=True, reporter=Killer())
    assert load_checkpoint(tmp_path / "run" / "last.pt").config == longer


def test_repaired_metrics_are_repaired_once(config: Config, tmp_path: Path) -> None:
    """Rows after a damaged one are kept, and the repaired file is recorded, so that the next start has no warning."""
    train(config, tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    rows = rows_without_times(tmp_path / "run")
    flip(path, 3)
    [warning] = resume(config, tmp_path / "run")
    assert warning.startswith(f"{path}: damaged. It was renamed to metrics.jsonl.damaged; ")
    assert rows_without_times(tmp_path / "run") == rows[1:]
    assert resume(config, tmp_path / "run") == []
    assert [entry.name for entry in (tmp_path / "run").glob("*.damaged*")] == ["metrics.jsonl.damaged"]
