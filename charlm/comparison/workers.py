"""Runs in parallel, through futures of ``concurrent.futures``; a failure does not affect the other runs."""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from charlm.comparison.process import POLL_S, Task, train_in_process
from charlm.errors import CharlmError, StoppedError
from charlm.system.signals import catch_signals

Active = dict["Future[None]", tuple[Task, float]]
"""The tasks that are under way, and when they began."""


class Source(Protocol):
    """Gives out tasks, and is told how they end."""

    def next(self) -> Task | None:
        """Return the next task; None if there is none now, since others must end first, or for good."""

    def end(self, task: Task, failure: str, duration_s: float) -> None:
        """Record that a task has ended, with the reason why it failed, or an empty text."""


class Pool(Protocol):
    """Trains several tasks at a time."""

    def count_places(self) -> int:
        """Return how many tasks at a time, at least 1; this may change.

        Raises:
            CharlmError: it can train no longer.
        """

    def submit(self, task: Task) -> "Future[None]":
        """Start to train a task, or train it when there is a place for it."""

    def stop(self) -> None:
        """Let every run save its state and end, and wait for that; no further one starts."""


class LocalPool:
    """Trains on this machine. Each thread of an executor waits for the process of one run.

    Args:
        num_jobs: how many processes at a time, at least 1.
    """

    def __init__(self, num_jobs: int) -> None:
        self._num_jobs = num_jobs
        self._executor = ThreadPoolExecutor(num_jobs)
        self._stop = threading.Event()

    def count_places(self) -> int:
        """Return how many processes at a time."""
        return self._num_jobs

    def submit(self, task: Task) -> "Future[None]":
        """Start to train a task in a process."""
        return self._executor.submit(train_in_process, task, self._stop)

    def stop(self) -> None:
        """Let every process save its state and end, and wait for that."""
        self._stop.set()
        self._executor.shutdown()


def run_tasks(source: Source, pool: Pool) -> None:
    """Run the tasks of a source, and stop the pool.

    Args:
        source: gives out the tasks.
        pool: trains them.

    Raises:
        StoppedError: the process received a signal; every active run has saved its state.
        CharlmError: the pool can train no longer; the same holds.
    """
    active: Active = {}
    with catch_signals() as caught_signal:
        try:
            while not caught_signal():
                while len(active) < pool.count_places() and not caught_signal() and (task := source.next()):
                    active[pool.submit(task)] = task, time.monotonic()
                if not active:
                    return
                ended, _ = wait(active, POLL_S, FIRST_COMPLETED)
                if not caught_signal():  # Ctrl-C in a terminal reaches the processes of the runs too
                    _record(ended, active, source)
        finally:
            pool.stop()
        _record([future for future in active if _is_finished(future)], active, source)  # the others were stopped
        raise StoppedError("what was under way is saved. Go on with the same command.", caught_signal() or 0)


def _record(ended: "Iterable[Future[None]]", active: Active, source: Source) -> None:
    """Record the ends of tasks.

    Raises:
        CharlmError: one was cancelled, although its run is wanted.
    """
    for future in ended:
        if future.cancelled():
            raise lost_cluster()
        task, began_at_s = active.pop(future)
        source.end(task, _describe_failure(future), time.monotonic() - began_at_s)


def lost_cluster() -> CharlmError:
    """Return the error for a cluster whose scheduler has gone, and with it all futures."""
    return CharlmError(
        "the scheduler of the cluster has ended, or cannot be reached. What was under way saves its state and ends. "
        "Go on with the same command when a scheduler is there."
    )


def _is_finished(future: "Future[None]") -> bool:
    return not future.cancelled() and future.exception() is None


def _describe_failure(future: "Future[None]") -> str:
    """Return why a run failed; an empty text if it did not."""
    error = future.exception()
    if error is None or isinstance(error, CharlmError):
        return str(error or "")
    return f"{type(error).__name__}: {error}"
