"""A comparison that is stopped, killed, or loses one of its processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recording import results_without_times

from charlm.cli.progress import make_reporter
from charlm.comparison.results import Results
from charlm.comparison.workers import LOG_NAME, Task, run_tasks
from charlm.config import Config
from charlm.system.lock import hold
from charlm.training.reporter import Reporter


@pytest.fixture
def config_file(config: Config, tmp_path: Path) -> Path:
    """Return a configuration file whose runs take a second or two each."""
    path = tmp_path / "config.yaml"
    settings = config.replace("train", max_steps=400, eval_every=200, checkpoint_every=20).replace(
        "data", val_frac=0.02
    )
    path.write_text(settings.to_yaml())
    return path


def start(config_file: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Start a comparison of two depths under two seeds, two at a time; what it says goes to a file."""
    command = [sys.executable, "-m", "charlm", "compare-layers", str(config_file), "--budget", "4000", "--jobs", "2"]
    with said_path(out).open("wb") as said:
        return subprocess.Popen(
            [*command, "--layers", "1,2", "--seeds", "1,2", "--out", str(out)], stdout=subprocess.DEVNULL, stderr=said
        )


def said_path(out: Path) -> Path:
    """Return where the progress of a comparison goes."""
    return out.with_suffix(".said")


def start_and_wait(config_file: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Start a comparison, and wait until it trains and something of it is saved."""
    former = holders(out)
    process = start(config_file, out)
    deadline_s = time.monotonic() + 120
    while not (any(out.glob("*/last.pt")) and holders(out) - former):
        assert process.poll() is None, said_path(out).read_text()
        assert time.monotonic() < deadline_s, said_path(out).read_text()
        time.sleep(0.01)
    return process


def holders(out: Path) -> set[str]:
    """Return the processes that hold the locks, or held them last."""
    return {number.read_text() for number in out.glob("*/.lock.pid")}


def wait_for_locks(out: Path) -> None:
    """Wait until no process trains in any run directory."""
    deadline_s = time.monotonic() + 60
    for lock in out.glob("*/.lock"):
        while True:
            with contextlib.suppress(Exception), hold(lock):
                break
            assert time.monotonic() < deadline_s, f"{lock} is still held"
            time.sleep(0.05)


def results(out: Path) -> dict[str, object]:
    """Return what a comparison found, but for times."""
    return results_without_times(
        Results.model_validate_json((out / "results.json").read_bytes()).model_copy(update={"command": ""})
    )


def test_goes_on_after_signals(config_file: Path, tmp_path: Path) -> None:
    """After any stop, no process trains on; the same command resumes and gives the same results."""
    assert start(config_file, tmp_path / "undisturbed").wait(300) == 0
    out = tmp_path / "out"
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        process = start_and_wait(config_file, out)
        process.send_signal(number)
        assert process.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
        if number != signal.SIGKILL:
            assert "Go on with the same command" in said_path(out).read_text()
        wait_for_locks(out)
    assert start(config_file, out).wait(300) == 0
    assert results(out) == results(tmp_path / "undisturbed")


def test_killed_run_is_one_failure(config: Config, tmp_path: Path) -> None:
    """A process that dies, as one does for lack of memory, is named; the other runs finish."""
    endless = config.replace("train", max_steps=1_000_000, eval_every=1_000_000)
    doomed, other = (
        Task(each, tmp_path / name, False, 1, False) for each, name in ((endless, "doomed"), (config, "other"))
    )

    def announce(_: str) -> None:
        if not killed:
            killed.append(int((doomed.directory / ".lock.pid").read_text()))
            groups.append(os.getpgid(killed[0]))
            os.kill(killed[0], signal.SIGKILL)

    killed: list[int] = []
    groups: list[int] = []
    failures = run_tasks([doomed, other], 2, announce)
    assert failures == {doomed.directory: "its process was ended by SIGKILL"}
    assert (other.directory / "outcome.json").exists()
    assert groups != [os.getpgid(0)]  # or a Ctrl-C would reach it twice, from the terminal and from the parent


def test_unforeseen_failure_is_told(config: Config, tmp_path: Path) -> None:
    """The reason of any failure in a run reaches the parent."""
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    failures = run_tasks([Task(config, tmp_path / "run", False, 1, False)], 1, lambda _: None)
    assert "IsADirectoryError: " in failures[tmp_path / "run"]


def test_log_of_runs_side_by_side(config: Config, tmp_path: Path) -> None:
    """The output of a run goes to its own log if others run in parallel."""
    assert run_tasks([Task(config, tmp_path / "run", False, 1, False, make_reporter)], 1, lambda _: None) == {}
    assert "val loss" in (tmp_path / "run" / LOG_NAME).read_text()


def lack_memory(_directory: Path, _name: str) -> Reporter:
    """Fail as an allocation does."""
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes.")


def test_a_run_without_memory_says_what_to_change(config: Config, tmp_path: Path) -> None:
    """A failed allocation in a run's process is reported with its size and what to lower, not as a traceback."""
    task = Task(config, tmp_path / "run", False, 1, is_alone=False, make_reporter=lack_memory)
    [reason] = run_tasks([task], 1, lambda _: None).values()
    assert "out of memory: an allocation of 80 bytes failed. To train, lower model.hidden_size" in reason
