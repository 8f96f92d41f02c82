"""A comparison that is stopped, killed, or loses one of its processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import is_group_left, wait_for_training, wait_until
from recording import results_without_times

from charlm.comparison.process import Stop, Task
from charlm.comparison.results import Results
from charlm.comparison.workers import LocalPool, run_tasks
from charlm.config import Config
from charlm.errors import CharlmError, StoppedError

STOPS = [(signal.SIGKILL, False, 2), (signal.SIGTERM, True, 2), (signal.SIGINT, False, 1), (signal.SIGHUP, True, 1)]
"""Signals, each with whether the whole process group gets it, and the number of parallel runs."""


@pytest.fixture
def config_file(config: Config, tmp_path: Path) -> Path:
    """Return a configuration file whose runs take a second or two each."""
    path = tmp_path / "config.yaml"
    settings = config.replace("train", max_steps=500, eval_every=250, checkpoint_every=20).replace(
        "data", val_frac=0.02
    )
    path.write_text(settings.to_yaml())
    return path


def start(config_file: Path, out: Path, jobs: int = 2) -> "subprocess.Popen[bytes]":
    """Start a comparison of two depths in a process group of its own; what it says goes to a file."""
    command = [sys.executable, "-m", "charlm", "compare-layers", str(config_file), "--budget", "4000"]
    command += ["--jobs", str(jobs), "--layers", "1,2", "--seeds", "1", "--out", str(out)]
    with said_path(out).open("wb") as said:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, process_group=0)


def said_path(out: Path) -> Path:
    """Return where the progress of a comparison goes."""
    return out.with_suffix(".said")


def start_and_wait(config_file: Path, out: Path, jobs: int) -> "subprocess.Popen[bytes]":
    """Start a comparison, and wait until it trains and something of it is saved."""
    former = holders(out)
    process = start(config_file, out, jobs)

    def is_training() -> bool:
        assert process.poll() is None, said_path(out).read_text()
        return any(out.glob("*/last.pt")) and bool(holders(out) - former)

    wait_until(is_training)
    return process


def holders(out: Path) -> set[str]:
    """Return the processes that hold the locks, or held them last."""
    return {number.read_text() for number in out.glob("*/.lock.pid")}


def results(out: Path) -> dict[str, object]:
    """Return what a comparison found, but for times."""
    return results_without_times(
        Results.model_validate_json((out / "results.json").read_bytes()).model_copy(update={"command": ""})
    )


def test_goes_on_after_signals(config_file: Path, tmp_path: Path) -> None:
    """After any stop, no process is left; the same command resumes and gives the same results."""
    undisturbed = start(config_file, tmp_path / "undisturbed")  # meanwhile
    out = tmp_path / "out"
    for number, is_for_group, jobs in STOPS:
        process = start_and_wait(config_file, out, jobs)
        (os.killpg if is_for_group else os.kill)(process.pid, number)
        status = process.wait(60)
        said = said_path(out).read_text()
        assert status == (-number if number == signal.SIGKILL else 128 + number), said
        if number == signal.SIGKILL:
            wait_until(lambda group=process.pid: not is_group_left(group))  # type: ignore[misc]
        else:
            assert not is_group_left(process.pid)
            assert "Go on with the same command" in said
        assert "Traceback" not in said
    assert start(config_file, out).wait(300) == 0
    assert undisturbed.wait(300) == 0
    assert results(out) == results(tmp_path / "undisturbed")


class Queue:
    """Gives out a task for each name, and keeps how they ended."""

    def __init__(self, config: Config, directory: Path, *names: str) -> None:
        self.waiting = [Task(config, directory / name, False, 1, is_alone=False) for name in names]
        self.endings: dict[str, str] = {}

    def next(self) -> Task | None:
        """Return the next task."""
        return self.waiting.pop(0) if self.waiting else None

    def end(self, task: Task, failure: str, duration_s: float) -> None:
        """Keep it."""
        assert duration_s >= 0
        self.endings[task.directory.name] = failure


Train = Callable[[Task, Stop], None]


@pytest.fixture
def replace_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[Train], None]:
    """Return a function that puts another one in the place of the process of a run."""
    return lambda train: monkeypatch.setattr("charlm.comparison.workers.train_in_process", train)


def test_failures_are_kept_apart(config: Config, tmp_path: Path, replace_process: Callable[[Train], None]) -> None:
    """A run that fails, for whatever reason, is told with it; the other runs finish."""
    errors = {"doomed": CharlmError("its process was ended by SIGKILL"), "blocked": OSError(28, "No space left")}

    def train(task: Task, stop: Stop) -> None:
        if error := errors.get(task.directory.name):
            raise error
        assert not stop.is_set()

    replace_process(train)
    queue = Queue(config, tmp_path, "doomed", "one", "blocked", "two")
    run_tasks(queue, LocalPool(2))
    assert queue.endings == {
        "doomed": "its process was ended by SIGKILL",
        "blocked": "OSError: [Errno 28] No space left",
        "one": "",
        "two": "",
    }


def test_so_many_runs_at_a_time(config: Config, tmp_path: Path, replace_process: Callable[[Train], None]) -> None:
    """A task is taken only when there is a place for it, so that its source may choose late."""

    def train(task: Task, _: Stop) -> None:
        taken.append(4 - len(queue.waiting) - len(queue.endings))

    taken: list[int] = []
    queue = Queue(config, tmp_path, "one", "two", "three", "four")
    replace_process(train)
    run_tasks(queue, LocalPool(1))
    assert taken == [1, 1, 1, 1]


def train_until_stopped(task: Task, stop: Stop) -> None:
    """Take the place of a run that ends when it is stopped."""
    if task.directory.name != "done":
        wait_until(stop.is_set)
        raise CharlmError("stopped")


def test_a_signal_stops_all_runs(config: Config, tmp_path: Path, replace_process: Callable[[Train], None]) -> None:
    """A signal stops the active runs, which are no failures, and no further run starts."""

    def train(task: Task, stop: Stop) -> None:
        if task.directory.name == "two":
            os.kill(os.getpid(), signal.SIGTERM)
        train_until_stopped(task, stop)

    queue = Queue(config, tmp_path, "done", "one", "two", "three")
    replace_process(train)
    with pytest.raises(StoppedError, match="what was under way is saved") as caught:
        run_tasks(queue, LocalPool(2))
    assert caught.value.exit_status == 143
    assert queue.endings == {"done": ""}
    assert [task.directory.name for task in queue.waiting] == ["three"]


def test_an_error_leaves_no_run(config: Config, tmp_path: Path, replace_process: Callable[[Train], None]) -> None:
    """If an ending cannot be recorded, the active runs are stopped before the error is raised."""

    class Unable(Queue):
        def end(self, task: Task, failure: str, duration_s: float) -> None:
            raise BrokenPipeError

    replace_process(train_until_stopped)
    with pytest.raises(BrokenPipeError):
        run_tasks(Unable(config, tmp_path, "done", "one"), LocalPool(2))


def test_killed_run_is_one_failure(config: Config, tmp_path: Path) -> None:
    """A process that is killed, as one is for lack of memory, is a failure that names the signal; others finish."""
    queue = Queue(config, tmp_path, "other")
    endless = config.replace("train", max_steps=10**6, eval_every=10**6, log_every=1)
    queue.waiting.append(Task(endless, tmp_path / "doomed", False, 1, is_alone=False))
    killer = threading.Thread(target=lambda: os.kill(wait_for_training(tmp_path / "doomed"), signal.SIGKILL))
    killer.start()
    run_tasks(queue, LocalPool(2))
    killer.join()
    assert queue.endings == {"doomed": "its process was ended by SIGKILL", "other": ""}
    assert (tmp_path / "other" / "outcome.json").exists()
