"""Runs in parallel, through an executor of ``concurrent.futures``; a failure does not affect the other runs."""

import contextlib
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from charlm.comparison.process import POLL_S, Task, train_in_process
from charlm.errors import CharlmError, StoppedError
from charlm.system.signals import catch_signals


class Source(Protocol):
    """Gives out tasks, and is told how they end."""

    def next(self) -> Task | None:
        """Return the next task; None if there is none now, since others must end first, or for good."""

    def end(self, task: Task, failure: str, duration_s: float) -> None:
        """Record that a task has ended, with the reason why it failed, or an empty text."""


def run_tasks(source: Source, num_jobs: int) -> None:
    """Run the tasks of a source, so many at a time. Each thread of the executor waits for the process of one run.

    Args:
        source: gives out the tasks.
        num_jobs: how many processes at a time, at least 1.

    Raises:
        StoppedError: the process received a signal; every active run has saved its state.
    """
    stop = threading.Event()
    active: dict[Future[None], tuple[Task, float]] = {}
    with contextlib.ExitStack() as stack:
        caught_signal = stack.enter_context(catch_signals())
        executor = stack.enter_context(ThreadPoolExecutor(num_jobs))
        stack.callback(stop.set)  # the executor waits for its threads, also after an error
        while True:
            if caught_signal():
                stop.set()
            while len(active) < num_jobs and not stop.is_set() and (task := source.next()):
                active[executor.submit(train_in_process, task, stop)] = task, time.monotonic()
            if not active:
                break
            ended, _ = wait(active, POLL_S, FIRST_COMPLETED)
            for future in ended:
                task, began_at_s = active.pop(future)
                failure = _describe_failure(future)
                if not (failure and caught_signal()):  # otherwise it was stopped
                    source.end(task, failure, time.monotonic() - began_at_s)
        if signal_number := caught_signal():
            raise StoppedError("what was under way is saved. Go on with the same command.", signal_number)


def _describe_failure(future: "Future[None]") -> str:
    """Return why a run failed; an empty text if it did not."""
    error = future.exception()
    if error is None or isinstance(error, CharlmError):
        return str(error or "")
    return f"{type(error).__name__}: {error}"
