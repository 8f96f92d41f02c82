"""One run of a comparison in a process of its own, so that a crash ends this run only.

When the run is no longer wanted, or the parent process has died, the process saves its state and ends. A run that fails
writes the reason to stdout, a temporary file: no process waits for another to read a pipe.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import torch

from charlm.comparison.outcome import train_to_outcome
from charlm.comparison.pruning import Place, train_trial
from charlm.config import Config
from charlm.errors import CharlmError, InputError
from charlm.runs.directory import RunDirectory
from charlm.system.child import describe_death, start_child
from charlm.system.files import open_for_writing
from charlm.system.memory import explain_shortage
from charlm.system.process import drop_lost_messages, keep_freed_memory
from charlm.training.reporter import Reporter

POLL_S = 0.2
"""How often the parent looks whether the run is still wanted."""

LOG_NAME = "train.log"
"""The log of a run when several run in parallel."""

MakeReporter = Callable[[Path, str], Reporter]


def silence(_directory: Path, _name: str) -> Reporter:
    """Return a reporter that ignores every event."""
    return Reporter()


@dataclass(frozen=True)
class Task:
    """What one process is to do.

    Attributes:
        config: of the run.
        directory: the run directory.
        has_test: whether to measure the test part at the end.
        num_threads: of this run.
        is_alone: whether its progress may go to the terminal; otherwise it goes to a file in its directory.
        make_reporter: makes the reporter of the run, given its directory and its name; a function of a module.
        place: where a trial of the tuning reports its validations; None for a run that is compared.
    """

    config: Config
    directory: Path
    has_test: bool
    num_threads: int
    is_alone: bool
    make_reporter: MakeReporter = silence
    place: Place | None = None


class Stop(Protocol):
    """Says whether runs are to end, such as a ``threading.Event``."""

    def is_set(self) -> bool:
        """Return whether every run is to save its state and end."""


def train_in_process(task: Task, stop: Stop) -> None:
    """Train a run in a process of its own, and wait until the process has ended.

    Args:
        task: what to train.
        stop: as soon as it is set, the run saves its state and ends, which is a failure.

    Raises:
        CharlmError: why the run failed or was stopped.
        OSError: the process or its log cannot be created.
    """
    if stop.is_set():
        raise CharlmError("not started")
    with tempfile.TemporaryFile() as said, _open_log(task) as log:
        with start_child(serve, task, str(task.directory), said, log) as process:
            _wait(process, stop)
        said.seek(0)
        reason = said.read().decode(errors="replace").strip()
    if process.returncode:
        raise CharlmError(reason or describe_death(process.returncode))


def wait_for_orphans(directory: Path, announce: Callable[[str], None]) -> None:
    """Wait for the runs of a comparison that was killed: they save their state and end.

    Args:
        directory: of the comparison.
        announce: called with one line for each run that has not ended yet.
    """
    for config in sorted(directory.rglob("config.yaml")):
        with contextlib.suppress(InputError):  # the run will fail with this error
            RunDirectory(config.parent).refuse_second_writer(announce)


def _open_log(task: Task) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    """Open the log of a run; None if it does not share the terminal with others."""
    if task.is_alone:
        return contextlib.nullcontext()
    task.directory.mkdir(parents=True, exist_ok=True)
    return open_for_writing(task.directory / LOG_NAME, "ab")


def _wait(process: "subprocess.Popen[bytes]", stop: Stop) -> None:
    """Wait until a process has ended; close its stdin when it is to stop."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return
        if stop.is_set() and process.stdin is not None:
            process.stdin.close()


def serve(task: Task) -> None:
    """Train a task, in the new process, and end the process.

    It ends without destroying the objects of torch, which takes a second: a batch system may give little more.
    """
    drop_lost_messages()
    keep_freed_memory()
    torch.set_num_threads(task.num_threads)
    status = 0
    try:
        with explain_shortage():
            train_task(task)
    except CharlmError as error:
        status = error.exit_status
        _tell(str(error))
    except Exception as error:
        status = 1
        _tell(f"{type(error).__name__}: {error}")
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def train_task(task: Task) -> None:
    """Train the run or trial of a task in this process.

    Raises:
        CharlmError: it failed or was stopped.
    """
    reporter = task.make_reporter(task.directory, task.directory.name)
    if task.place:
        train_trial(task.config, task.directory, task.place, reporter)
    else:
        train_to_outcome(task.config, task.directory, task.has_test, reporter)


def _tell(reason: str) -> None:
    os.write(sys.stdout.fileno(), reason.encode(errors="replace"))
