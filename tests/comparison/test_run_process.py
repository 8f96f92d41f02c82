"""The process of a run: how it is told what to do, how it ends, and how its end is told."""

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import assert_saved, is_group_left, wait_for_training, wait_until

from charlm.cli.progress import make_reporter
from charlm.comparison.process import LOG_NAME, Task, train_in_process, wait_for_orphans
from charlm.config import Config
from charlm.errors import CharlmError
from charlm.runs.directory import RunDirectory
from charlm.training.reporter import Reporter

PARENT = """
import pathlib, sys, threading
from charlm.comparison.process import Task, train_in_process, wait_for_orphans
from charlm.config import load_config
directory = pathlib.Path(sys.argv[2])
train_in_process(Task(load_config(pathlib.Path(sys.argv[1])), directory, False, 1, False), threading.Event())
"""


@pytest.fixture
def endless(config: Config) -> Config:
    """Return a configuration whose run saves nothing before it is stopped."""
    return config.replace("train", max_steps=10**6, eval_every=10**6, checkpoint_every=10**6, log_every=1)


def test_log_of_runs_side_by_side(config: Config, tmp_path: Path) -> None:
    """The output of a run goes to its own log if others run in parallel."""
    task = Task(config, tmp_path / "run", False, 1, is_alone=False, make_reporter=make_reporter)
    train_in_process(task, threading.Event())
    assert "val loss" in (tmp_path / "run" / LOG_NAME).read_text()


def test_a_stopped_run_has_saved_its_state(endless: Config, tmp_path: Path) -> None:
    """When the event is set, the run saves its state and ends, and the error says at which step."""
    stop = threading.Event()
    task = Task(endless, tmp_path / "run", False, 1, is_alone=False)
    stopper = threading.Thread(target=lambda: (wait_for_training(task.directory), stop.set()))
    stopper.start()
    with pytest.raises(CharlmError, match=r"after step .* everything is saved"):
        train_in_process(task, stop)
    stopper.join()
    assert_saved(task.directory)
    with pytest.raises(CharlmError, match="not started"):
        train_in_process(task, stop)


class Hanging:
    """Something that takes for ever to unpickle."""

    def __reduce__(self) -> tuple[object, ...]:
        return time.sleep, (10**6,)


class StopLater(threading.Event):
    """Is set as soon as the process has started."""

    def is_set(self) -> bool:
        """Return False the first time."""
        is_set = super().is_set()
        self.set()
        return is_set


def test_a_run_is_stopped_while_it_starts(config: Config, tmp_path: Path) -> None:
    """A process that is still loading ends at once when its run is stopped."""
    task = Task(config, tmp_path / "run", False, 1, is_alone=False, make_reporter=Hanging())  # type: ignore[arg-type]
    with pytest.raises(CharlmError, match="its process was ended by SIGTERM"):
        train_in_process(task, StopLater())


def test_a_run_ends_with_its_parent(endless: Config, tmp_path: Path) -> None:
    """If the parent process is killed, the run saves its state, ends and prints nothing."""
    (tmp_path / "config.yaml").write_text(endless.to_yaml())
    run = tmp_path / "run"
    with (tmp_path / "said").open("wb") as said:
        command = [sys.executable, "-c", PARENT, str(tmp_path / "config.yaml"), str(run)]
        parent = subprocess.Popen(command, stdout=said, stderr=said, process_group=0)
    wait_for_training(run)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_group_left(parent.pid))
    assert_saved(run)
    assert (tmp_path / "said").read_text() == (run / LOG_NAME).read_text() == ""


def break_down(_directory: Path, _name: str) -> Reporter:
    """Fail as nobody expects."""
    raise LookupError("unforeseen")


def test_unforeseen_failure_is_told(config: Config, tmp_path: Path) -> None:
    """The reason of any failure in a run reaches the parent, and the log holds the traceback."""
    task = Task(config, tmp_path / "run", False, 1, is_alone=False, make_reporter=break_down)
    with pytest.raises(CharlmError, match="LookupError: unforeseen"):
        train_in_process(task, threading.Event())
    assert "Traceback" in (tmp_path / "run" / LOG_NAME).read_text()


def lack_memory(_directory: Path, _name: str) -> Reporter:
    """Fail as an allocation does."""
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes.")


def test_a_run_without_memory_says_what_to_change(config: Config, tmp_path: Path) -> None:
    """A failed allocation in a run's process is reported with its size and what to lower, not as a traceback."""
    task = Task(config, tmp_path / "run", False, 1, is_alone=False, make_reporter=lack_memory)
    expected = "out of memory: an allocation of 80 bytes failed. To train, lower model.hidden_size"
    with pytest.raises(CharlmError, match=expected):
        train_in_process(task, threading.Event())


def test_files_of_the_working_directory_are_not_imported(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python file in the working directory that is called like a module of the standard library changes nothing."""
    for name in ("pickle", "random", "signal"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.chdir(tmp_path)
    train_in_process(Task(config, tmp_path / "run", False, 1, is_alone=True), threading.Event())


def test_orphans_are_waited_for(config: Config, tmp_path: Path) -> None:
    """Runs that are ending are waited for and named; a run that goes on is left alone, and its own run will say so."""
    said: list[str] = []
    with contextlib.ExitStack() as ending, contextlib.ExitStack() as training:
        for name, lock in (("ending", ending), ("training", training)):
            run = RunDirectory(tmp_path / name)
            lock.enter_context(run.locked())
            run.config_path.write_text(config.to_yaml())
        RunDirectory(tmp_path / "ending").mark_ending()
        wait_for_orphans(tmp_path, lambda message: (said.append(message), ending.close()))
    [message] = said
    assert message.startswith(f"{tmp_path / 'ending'}: process ")
