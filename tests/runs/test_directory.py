"""The files of a run."""

import json
from pathlib import Path

import pytest

from charlm.errors import CharlmError, InputError
from charlm.runs.directory import RunDirectory


def test_begin_writes_the_configuration(tmp_path: Path) -> None:
    """A new run has its configuration, a place for samples, and no metrics."""
    run = RunDirectory(tmp_path / "deep" / "run")
    run.refuse_old_run()
    with run.locked() as is_alone:
        assert is_alone
        run.begin("x: 1\n", 0)
    assert run.config_path.read_text() == "x: 1\n"
    assert (run.path / "samples").is_dir()
    assert run.read_rows() == []
    assert run.load_newest(lambda _: None) == (None, {})


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


def test_path_that_is_a_file(tmp_path: Path) -> None:
    """A path that cannot be a directory is the user's mistake."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made a run directory"), RunDirectory(tmp_path / "file").locked():
        pass


def test_rows_of_later_steps_are_forgotten(tmp_path: Path) -> None:
    """Going on from a step keeps the rows up to it, and a half-written last line does no harm."""
    run = RunDirectory(tmp_path)
    for step in (10, 20, 30):
        run.append_row({"step": step, "split": "train"})
    with run.metrics_path.open("a") as stream:
        stream.write('{"step": 4')
    run.begin("", 20)
    run.append_row({"step": 30, "split": "train"})
    assert [json.loads(line)["step"] for line in run.metrics_path.read_text().splitlines()] == [10, 20, 30]


def test_scraps_of_a_killed_process_go(tmp_path: Path) -> None:
    """What a process that died in the middle of a write left is removed by the next one, and nothing else is."""
    run = RunDirectory(tmp_path)
    (tmp_path / "samples").mkdir()
    scraps = [tmp_path / ".last.pt.unfinished", tmp_path / "samples" / ".step-0000010.txt.unfinished"]
    for path in (*scraps, tmp_path / "last.pt", tmp_path / ".lock"):
        path.touch()
    run.begin("", 0)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".lock", "config.yaml", "last.pt", "metrics.jsonl", "samples"
    ]  # fmt: skip


def test_looking_for_a_second_writer_writes_nothing(tmp_path: Path) -> None:
    """Where no process trains, the check leaves every file as it is, the lock's own included."""
    run = RunDirectory(tmp_path)
    with run.locked():
        run.begin("x: 1\n", 0)
    (tmp_path / ".lock").write_text("of an older charlm\n")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("*") if path.is_file()}
    run.refuse_second_writer()
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.glob("*") if path.is_file()}
    assert after == before


def test_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    """A full or closed disk is told as a failure of the run."""
    with pytest.raises(CharlmError, match="cannot be written"):
        RunDirectory(tmp_path / "missing").append_row({"step": 1})
