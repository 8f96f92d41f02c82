"""The files of a run."""

from pathlib import Path

import pytest

from charlm.errors import InputError
from charlm.runs.directory import RunDirectory


def test_locked_directory_is_created(tmp_path: Path) -> None:
    """A new run has a place for samples, its configuration, and no metrics."""
    run = RunDirectory(tmp_path / "deep" / "run")
    run.refuse_old_run()
    with run.locked() as is_alone:
        assert is_alone
        assert not run.has_run
        run.write_config("x: 1\n")
    assert run.config_path.read_text() == "x: 1\n"
    assert (run.path / "samples").is_dir()
    assert run.read_rows() == []


@pytest.mark.parametrize("name", ["config.yaml", "best.pt", "last.pt", "last-1.pt", "metrics.jsonl"])
def test_old_run_is_refused(tmp_path: Path, name: str) -> None:
    """A directory that holds any file of a run is refused, and the message names --resume."""
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"already holds a run.*--resume"):
        RunDirectory(tmp_path).refuse_old_run()


def test_directory_with_other_files_is_taken(tmp_path: Path) -> None:
    """Files that are not of a run are no obstacle."""
    (tmp_path / "notes.txt").touch()
    RunDirectory(tmp_path).refuse_old_run()


@pytest.mark.parametrize("save", ["last.pt", "last-1.pt", None])
@pytest.mark.parametrize("name", ["best.pt", "config.yaml", "metrics.jsonl"])
def test_remains_of_a_run_are_refused(tmp_path: Path, name: str, save: str | None) -> None:
    """Files of a run without a save are named, as a new run would overwrite them; with a save it can resume."""
    run = RunDirectory(tmp_path)
    run.refuse_remains()
    (tmp_path / name).touch()
    if save:
        (tmp_path / save).touch()
        run.refuse_remains()
        return
    with pytest.raises(InputError, match=rf"holds {name} of a run, but no last\.pt to resume from"):
        run.refuse_remains()


def test_path_that_is_a_file(tmp_path: Path) -> None:
    """A path that cannot be a directory is the user's mistake."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made a run directory"), RunDirectory(tmp_path / "file").locked():
        pass


def test_scraps_of_a_killed_process_go(tmp_path: Path) -> None:
    """What a process that died in the middle of a write left is removed by the next one, and nothing else is."""
    run = RunDirectory(tmp_path)
    (tmp_path / "samples").mkdir()
    scraps = [tmp_path / ".last.pt.1a.unfinished", tmp_path / "samples" / ".step-0000010.txt.2b.unfinished"]
    for path in (*scraps, tmp_path / "last.pt", tmp_path / ".lock"):
        path.touch()
    run.remove_leftovers()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".lock", "last.pt", "samples"
    ]  # fmt: skip


def test_looking_for_a_second_writer_writes_nothing(tmp_path: Path) -> None:
    """Where no process trains, the check leaves every file as it is, the lock's own included."""
    run = RunDirectory(tmp_path)
    with run.locked():
        run.write_config("x: 1\n")
    (tmp_path / ".lock").write_text("of an older charlm\n")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("*") if path.is_file()}
    run.refuse_second_writer()
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("*") if path.is_file()}
    assert after == before
