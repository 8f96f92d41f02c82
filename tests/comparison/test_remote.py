"""What a worker of a cluster does with a run: when it stops it, and when it gives it back."""

import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import distributed
import pytest
import torch
from distributed import Reschedule, Status

from charlm.comparison.process import Stop, Task
from charlm.comparison.remote import find_active, refuse_unfit, train_on_worker
from charlm.config import Config
from charlm.errors import CharlmError, InputError
from charlm.runs.directory import RunDirectory
from charlm.system.version import __version__

KEY = "1x12-seed-1-abcd"

Train = Callable[[Task, Stop], None]


@pytest.fixture
def task(config: Config, tmp_path: Path) -> Task:
    """Return the task of a run."""
    return Task(config, tmp_path / "run", False, 7, is_alone=True)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a worker of four threads that runs one task."""
    state = SimpleNamespace(nthreads=4, tasks={KEY: SimpleNamespace(state="executing")})
    worker = SimpleNamespace(status=Status.running, state=state, get_current_task=lambda: KEY, active_keys={KEY})
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    return worker


@pytest.fixture
def replace_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[Train], None]:
    """Return a function that puts another one in the place of the process of a run."""
    return lambda train: monkeypatch.setattr("charlm.comparison.process.train_in_process", train)


def test_a_run_shares_the_worker(
    task: Task, worker: SimpleNamespace, replace_process: Callable[[Train], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has its part of the threads that torch would use there, and a log of its own; it is not stopped."""
    trained: list[Task] = []

    def train(task: Task, stop: Stop) -> None:
        assert not stop.is_set()
        trained.append(task)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    replace_process(train)
    train_on_worker(pickle.dumps(task))
    assert [(each.directory, each.num_threads, each.is_alone) for each in trained] == [(task.directory, 3, False)]


def cancel(worker: SimpleNamespace) -> None:
    """Cancel the task, as the scheduler does for a client that is gone."""
    worker.state.tasks[KEY].state = "cancelled"


def forget(worker: SimpleNamespace) -> None:
    """Let the worker forget the task."""
    worker.state.tasks.clear()


def close(worker: SimpleNamespace) -> None:
    """Close the worker, as it does when its scheduler is gone."""
    worker.status = Status.closing


def retire(worker: SimpleNamespace) -> None:
    """Retire the worker."""
    worker.status = Status.closing_gracefully


@pytest.mark.parametrize(
    ("happen", "expected"),
    [(cancel, CharlmError), (forget, CharlmError), (close, Reschedule), (retire, Reschedule)],
)
def test_an_unwanted_run_is_stopped(
    happen: Callable[[SimpleNamespace], None],
    expected: type[Exception],
    task: Task,
    worker: SimpleNamespace,
    replace_process: Callable[[Train], None],
) -> None:
    """A run that nobody wants is stopped; one whose worker leaves is stopped and given to another worker."""

    def train(_: Task, stop: Stop) -> None:
        happen(worker)
        if stop.is_set():
            raise CharlmError("everything is saved")

    replace_process(train)
    with pytest.raises(expected):
        train_on_worker(pickle.dumps(task))


def test_a_failure_is_that_of_the_run(
    task: Task, worker: SimpleNamespace, replace_process: Callable[[Train], None]
) -> None:
    """A run that fails on a worker in good health is not tried again."""

    def fail(_task: Task, _stop: Stop) -> None:
        raise CharlmError("out of memory")

    replace_process(fail)
    with pytest.raises(CharlmError, match="out of memory"):
        train_on_worker(pickle.dumps(task))


def test_the_process_of_a_dead_worker_is_waited_for(
    task: Task, worker: SimpleNamespace, replace_process: Callable[[Train], None]
) -> None:
    """A run that another process still holds is not begun before that has saved its state and ended."""
    happened: list[str] = []

    def hold() -> None:
        with RunDirectory(task.directory).locked():
            is_held.set()
            time.sleep(0.5)
            happened.append("released")

    is_held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait()
    replace_process(lambda _task, _stop: happened.append("trained"))
    train_on_worker(pickle.dumps(task))
    holder.join()
    assert happened == ["released", "trained"]


def test_waiting_has_an_end(
    task: Task,
    worker: SimpleNamespace,
    replace_process: Callable[[Train], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the other process goes on, the run is tried, and fails with the message about it."""
    monkeypatch.setattr("charlm.comparison.remote.MAX_TAKEOVER_S", 0.1)

    def train(task: Task, _: Stop) -> None:
        RunDirectory(task.directory).refuse_second_writer()

    replace_process(train)
    with RunDirectory(task.directory).locked(), pytest.raises(InputError, match="is training in this directory"):
        train_on_worker(pickle.dumps(task))


def test_active_tasks(worker: SimpleNamespace) -> None:
    """A task is active until its thread has ended, also after it was cancelled."""
    cancel(worker)
    assert find_active([KEY, "other"], worker) == [KEY]


def test_unfit_workers(tmp_path: Path) -> None:
    """A worker with another charlm, or without the directory of the comparison, says so."""
    plan = tmp_path / "plan.json"
    with pytest.raises(InputError, match=rf"it does not see {plan}; all machines must share"):
        refuse_unfit(__version__, plan)
    plan.touch()
    with pytest.raises(InputError, match=rf"it has charlm {__version__} instead of 9.9"):
        refuse_unfit("9.9", plan)
    refuse_unfit(__version__, plan)
