"""Idle OpenMP threads spin while their processors are free, and sleep while others want them."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from charlm.system import idle_threads
from charlm.system.idle_threads import longest_wait, read_waiting_times, watch_idle_threads

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how long a thread waits")

COUNT_SLEEPS = """
import resource, time, torch
from charlm.system.idle_threads import Crowd, find_libraries
torch.set_num_threads(2)
x = torch.zeros(1_000_000)
def count_sleeps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(300):
        x.add_(1)
        until_s = time.perf_counter() + 0.0002
        while time.perf_counter() < until_s:
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
count_sleeps()
before = count_sleeps()
crowds = [Crowd(library) for library in find_libraries()]
time.sleep(0.1)
during = count_sleeps()
for crowd in crowds:
    crowd.end()
time.sleep(0.1)
print(before, during, count_sleeps())
"""


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of OpenMP from the environment."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_settings")
@pytest.mark.skipif(torch.get_num_threads() < 2, reason="there is no second thread")
def test_a_crowd_lets_idle_threads_sleep() -> None:
    """After each parallel part the idle thread sleeps while there is a crowd; before and after that it spins."""
    command = [sys.executable, "-c", COUNT_SLEEPS]
    before, during, after = map(int, subprocess.check_output(command).split())
    assert during > 2 * max(before, after)


@pytest.mark.parametrize(
    "waiting_s",
    [
        [{"1": 0.0}, {"1": 0.1}, {"1": 0.3}, {"1": 0.5}, {"1": 0.6}],  # after 0, 1, ... 4 seconds
        [{"1": 0.0}, {"1": 0.1}, {}, {}, {"1": 0.1}],
    ],
)
def test_the_crowd_is_there_while_threads_wait(
    waiting_s: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd is made, once, when a thread waited for over 15 % of the time or none is known, and ends after that."""
    events: list[str] = []
    readings = iter(waiting_s)

    class Crowd:
        def __init__(self, library: str) -> None:
            events.append(f"made for {library}")

        def end(self) -> None:
            events.append("ended")

    def read() -> dict[str, float]:
        events.append("read")
        return next(readings)

    monkeypatch.setattr(idle_threads, "Crowd", Crowd)
    monkeypatch.setattr(idle_threads, "find_libraries", lambda: ["libgomp"])
    monkeypatch.setattr(idle_threads, "read_waiting_times", read)
    monkeypatch.setattr(idle_threads.time, "monotonic", iter(range(10)).__next__)
    monkeypatch.setattr(idle_threads.time, "sleep", lambda duration_s: None)
    with pytest.raises(StopIteration):
        idle_threads.watch()
    assert events == ["read", "read", "read", "made for libgomp", "read", "read", "ended", "read"]


def test_the_longest_wait_counts() -> None:
    """Threads that began or ended between the readings do not count."""
    assert longest_wait({"1": 1.0, "2": 5.0, "3": 0.0}, {"1": 1.25, "2": 5.5, "4": 9.0}) == 0.5
    assert longest_wait({}, {"1": 1.0}) == 0.0


def test_waiting_times_are_those_of_all_threads() -> None:
    """Each thread of the process has a time, which does not fall."""
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait)
    thread.start()
    first, second = read_waiting_times(), read_waiting_times()
    is_over.set()
    thread.join()
    assert str(thread.native_id) in first
    assert all(first[name] <= second[name] for name in first.keys() & second.keys())


def test_a_kernel_that_does_not_count(tmp_path: Path) -> None:
    """Zeros, and a thread that has ended since the directory was listed, give no time."""
    for thread, content in {"1": "0 0 0\n", "2": "9 3000000000 1\n"}.items():
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(content)
    (tmp_path / "3" / "schedstat").mkdir(parents=True)  # cannot be read
    assert read_waiting_times(tmp_path) == {"2": 3.0}


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize("name", ["", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_settings_in_the_environment_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are watched, unless the user said how idle threads wait."""
    started: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread.name))
    if name:
        monkeypatch.setenv(name, "1")
    watch_idle_threads()
    assert started == ([] if name else ["idle threads"])


@pytest.mark.usefixtures("no_settings")
def test_a_system_without_room_for_a_thread_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, nothing is watched."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    watch_idle_threads()
