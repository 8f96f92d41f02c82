"""What a worker of a Dask cluster does for a comparison. The scheduler imports this module too, so it is light."""

import contextlib
import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.errors import InputError
from charlm.system.version import __version__

if TYPE_CHECKING:
    from distributed import Worker

    from charlm.comparison.process import Stop, Task

MAX_TAKEOVER_S = 120.0
"""How long to wait for the process that trained a run on a worker that died; network file systems free locks late."""


def refuse_unfit(version: str, plan: Path) -> None:
    """Check that this machine can train the runs of a comparison.

    Args:
        version: of charlm where the comparison was started.
        plan: a file in the directory of the comparison.

    Raises:
        InputError: it has another version of charlm, or does not see the directory.
    """
    if __version__ != version:
        raise InputError(f"it has charlm {__version__} instead of {version}")
    if not plan.is_file():
        raise InputError(f"it does not see {plan}; all machines must share the directory of --out under one path")


def find_active(keys: list[str], dask_worker: "Worker") -> list[str]:
    """Return those of the given tasks whose runs are trained on a worker now, wanted or not."""
    return [key for key in keys if key in dask_worker.active_keys]


class _Unwanted:
    """Is set when a task was cancelled, its client or scheduler has gone, or its worker is closing."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._key = worker.get_current_task()

    @property
    def is_worker_leaving(self) -> bool:
        """Whether the worker will not run until the end of a task."""
        from distributed import Status

        return self._worker.status not in (Status.running, Status.paused)

    def is_set(self) -> bool:
        """Return whether the run is to save its state and end."""
        task = self._worker.state.tasks.get(self._key)
        return self.is_worker_leaving or task is None or task.state == "cancelled"


def train_on_worker(pickled_task: bytes) -> None:
    """Train a run in a process of its own beside this worker; the scheduler gives it to another one if this one leaves.

    Args:
        pickled_task: a ``Task``; the scheduler need not import what it consists of.

    Raises:
        CharlmError: why the run failed or was stopped.
        Reschedule: the worker leaves; the state of the run is saved.
    """
    from distributed import Reschedule, get_worker

    from charlm.comparison.process import train_in_process

    worker = get_worker()
    unwanted = _Unwanted(worker)
    task = _prepare(pickled_task, worker.state.nthreads)
    try:
        _wait_for_predecessor(task.directory, unwanted)
        train_in_process(task, unwanted)
    except Exception:
        if unwanted.is_worker_leaving:
            raise Reschedule from None
        raise


def _prepare(pickled_task: bytes, num_jobs: int) -> "Task":
    """Return a task that shares the machine with others."""
    from dataclasses import replace

    from charlm.comparison.forecast import threads_of_job

    task: Task = pickle.loads(pickled_task)  # noqa: S301  # Dask itself runs what a client sends
    return replace(task, num_threads=threads_of_job(num_jobs), is_alone=False)


def _wait_for_predecessor(directory: Path, stop: "Stop") -> None:
    """Wait until no process trains a run: that of a worker that died saves its state first."""
    from charlm.comparison.process import POLL_S
    from charlm.runs.directory import RunDirectory

    gives_up_at_s = time.monotonic() + MAX_TAKEOVER_S
    while not stop.is_set() and time.monotonic() < gives_up_at_s:
        with contextlib.suppress(InputError):
            RunDirectory(directory).refuse_second_writer()
            return
        time.sleep(POLL_S)
