"""Idle OpenMP threads: they spin while their processors are free, and sleep while other processes want them.

After each parallel part of a step, idle threads of GNU OpenMP spin for some milliseconds, to be at hand for the next
part. Without that, small steps take a tenth to a quarter longer. But where another process wants the same processor,
both slow down, at worst to a tenth of their speed.

libgomp lets idle threads sleep almost at once if the process has more of them than there are processors. So a process
whose threads have to wait for a processor adds as many as there are, which sleep, until that is over.

Source: the manual of libgomp, GOMP_SPINCOUNT.
"""

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

CHECK_EVERY_S = 0.2

MAX_WAITING_FRAC = 0.15
"""Fraction of the time that a thread may wait for a processor. Alone it is below 0.04; beside a busy process it is 0.4,
also with idle threads that sleep."""


def watch_idle_threads() -> None:
    """Let idle threads of GNU OpenMP sleep while other processes want their processors.

    Settings in the environment take precedence. Elsewhere than under Linux this does nothing.
    """
    if sys.platform == "linux" and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        with contextlib.suppress(RuntimeError):  # the system has no room for a thread
            threading.Thread(target=watch, name="idle threads", daemon=True).start()


def watch() -> None:
    """Check the waiting times for as long as the process runs."""
    crowds: list[Crowd] = []
    before_s, began_s = read_waiting_times(), time.monotonic()
    while True:
        time.sleep(CHECK_EVERY_S)
        now_s, ended_s = read_waiting_times(), time.monotonic()
        # Where the kernel does not count, idle threads sleep always: that costs less than to spin at the wrong time.
        is_contended = not now_s or longest_wait(before_s, now_s) > MAX_WAITING_FRAC * (ended_s - began_s)
        if is_contended and not crowds:
            with contextlib.suppress(RuntimeError):
                crowds = [Crowd(library) for library in find_libraries()]
        elif not is_contended:
            while crowds:
                crowds.pop().end()
        before_s, began_s = now_s, ended_s


def read_waiting_times(tasks: Path = Path("/proc/self/task")) -> dict[str, float]:
    """Return how long each thread of this process has waited for a processor since it began, in seconds.

    It is empty where the kernel does not count that. Source: the kernel's documentation of /proc/PID/schedstat.

    Args:
        tasks: the directory that has one of each thread.
    """
    waiting_s = {}
    for path in tasks.glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            ran_ns, waited_ns, _ = map(int, path.read_text().split())
            if ran_ns:  # a kernel that does not count has only zeros
                waiting_s[path.parent.name] = waited_ns / 1e9
    return waiting_s


def longest_wait(before_s: Mapping[str, float], now_s: Mapping[str, float]) -> float:
    """Return the longest time that a thread waited for a processor between two readings, in seconds."""
    return max((now_s[thread] - before_s[thread] for thread in now_s.keys() & before_s.keys()), default=0.0)


def find_libraries() -> list[ctypes.CDLL]:
    """Return the copies of libgomp in this process; torch may bring one of its own."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if "/libgomp" in line}
    libraries = []
    for path in sorted(paths):
        with contextlib.suppress(OSError):  # its file is gone
            libraries.append(ctypes.CDLL(path))
    return libraries


class Crowd:
    """Sleeping OpenMP threads, one more than there are processors.

    Args:
        library: the copy of libgomp that counts them.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._is_over = threading.Event()
        self._leader = threading.Thread(target=self._gather, name="crowd", daemon=True)
        self._leader.start()

    def _gather(self) -> None:
        """Run a parallel part that does nothing; its threads live as long as this one."""
        num_threads = self._library.omp_get_num_procs() + 1
        self._library.GOMP_parallel(self._library.omp_in_parallel, None, num_threads, 0)
        self._is_over.wait()

    def end(self) -> None:
        """End the threads, so that idle threads spin again."""
        self._is_over.set()
        self._leader.join()
