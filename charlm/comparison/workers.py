"""Parallel runs, each in a separate process, so that a failure does not affect the others."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from charlm.comparison.outcome import train_to_outcome
from charlm.config import Config
from charlm.errors import CharlmError, StoppedError
from charlm.system.memory import explain_shortage
from charlm.system.process import keep_freed_memory
from charlm.system.signals import catch_signals
from charlm.training.reporter import Reporter

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

POLL_S = 0.2
"""How often the parent looks for a signal."""

LOG_NAME = "train.log"
"""The log of a run when several run in parallel."""

Announce = Callable[[str], None]
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
        make_reporter: makes the reporter of the run, given its directory and its name.
    """

    config: Config
    directory: Path
    has_test: bool
    num_threads: int
    is_alone: bool
    make_reporter: MakeReporter = silence


@dataclass
class _Worker:
    task: Task
    process: BaseProcess
    connection: Connection
    began_at_s: float


def run_tasks(tasks: Sequence[Task], num_jobs: int, announce: Announce) -> dict[Path, str]:
    """Run every task, so many at a time, and return why those that failed did.

    Args:
        tasks: what to run.
        num_jobs: how many processes at a time, at least 1.
        announce: called with one line for each run that ends.

    Raises:
        StoppedError: the process received a signal; every active run has saved its state.
    """
    waiting, working = deque(tasks), list[_Worker]()
    failures: dict[Path, str] = {}
    num_done = 0
    with catch_signals() as caught_signal:
        signal_number: int | None = None
        while working or (waiting and not signal_number):
            if not signal_number and (signal_number := caught_signal()):
                for worker in working:
                    worker.process.terminate()
            while waiting and len(working) < num_jobs and not signal_number:
                working.append(_start(waiting.popleft()))
            wait([worker.process.sentinel for worker in working], POLL_S)
            for worker in [worker for worker in working if not worker.process.is_alive()]:
                working.remove(worker)
                reason = _collect(worker)
                if reason and signal_number:
                    continue  # it was stopped
                if reason:
                    failures[worker.task.directory] = reason
                num_done += 1
                announce(f"[{num_done}/{len(tasks)}] {_describe_ending(worker, reason)}")
    if signal_number:
        raise StoppedError(
            f"{num_done} of {len(tasks)} runs are done, and what was under way is saved. Go on with the same command.",
            signal_number,
        )
    return failures


def _context() -> "ForkServerContext | SpawnContext":
    """Return the way to start processes: from a server that has imported torch already, where the system can fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start(task: Task) -> _Worker:
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, sender), daemon=True)
    process.start()
    sender.close()
    return _Worker(task, process, receiver, time.monotonic())


def _collect(worker: _Worker) -> str:
    """Return why a process failed, or None if it did not."""
    worker.process.join()
    reason = ""
    with contextlib.suppress(EOFError):
        reason = worker.connection.recv()
    worker.connection.close()
    code = worker.process.exitcode or 0
    if code and not reason:
        reason = f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return reason


def _describe_ending(worker: _Worker, reason: str) -> str:
    took = f"after {time.monotonic() - worker.began_at_s:.0f} s"
    return f"{worker.task.directory.name} " + (f"failed {took}: {reason}" if reason else f"done {took}")


def _work(task: Task, connection: Connection) -> None:
    """Train one run in this process; errors are sent to the parent."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the parent alone, which passes it on once: a second signal would kill
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    torch.set_num_threads(task.num_threads)
    try:
        with explain_shortage(), _output(task):
            name = task.directory.name
            reporter = task.make_reporter(task.directory, name)
            train_to_outcome(task.config, task.directory, task.has_test, reporter)
    except CharlmError as error:
        connection.send(str(error))
        sys.exit(error.exit_status)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        raise


def _end_with_parent() -> None:
    """Save and exit when the parent process has ended for any reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _output(task: Task) -> Iterator[None]:
    """Redirect the output of the run to its log if it does not own the terminal."""
    if task.is_alone:
        yield
        return
    task.directory.mkdir(parents=True, exist_ok=True)
    with (task.directory / LOG_NAME).open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        yield
