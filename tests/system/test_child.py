"""Processes that do one thing for this one, and end with it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from charlm.system.child import describe_death, start_child


def write(argument: tuple[Path, bytes]) -> None:
    """Write bytes to a file."""
    path, content = argument
    path.write_bytes(content)


def tell_threads(path: Path) -> None:
    """Write the names of the threads."""
    path.write_text(",".join(thread.name for thread in threading.enumerate()))


def sleep(duration_s: float) -> None:
    """Say that it has started, and do nothing for long."""
    print("started", flush=True)
    time.sleep(duration_s)


def test_the_function_is_called(tmp_path: Path) -> None:
    """A function of any module that this process finds is called with its argument, however large that is."""
    content = bytes(range(256)) * 10_000
    with start_child(write, (tmp_path / "written", content), "test") as child:
        assert child.wait() == 0
    assert (tmp_path / "written").read_bytes() == content


@pytest.mark.skipif(sys.platform != "linux", reason="there is no such setting elsewhere")
def test_idle_threads_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of any process, such as a worker of Dask, lets idle threads sleep while others want the processors."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with start_child(tell_threads, tmp_path / "names", "test") as child:
        assert child.wait() == 0
    assert "idle threads" in (tmp_path / "names").read_text().split(",")


def test_closing_stdin_ends_it() -> None:
    """A child ends by SIGTERM as soon as its stdin is closed, whatever it does."""
    with start_child(sleep, 1e6, "test", subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"started\n"
        assert child.stdin
        child.stdin.close()
        assert child.wait() == -15


def test_the_title_is_shown() -> None:
    """Lists of processes show what a child does."""
    with start_child(sleep, 1e6, "counting sheep", subprocess.PIPE) as child:
        assert child.args[-1] == "counting sheep"  # type: ignore[index]
        assert child.args[0] == sys.executable  # type: ignore[index]


@pytest.mark.parametrize(("code", "expected"), [(-9, "its process was ended by SIGKILL"), (3, "exit status 3")])
def test_deaths(code: int, expected: str) -> None:
    """The end of a process without a word is told by its signal or its status."""
    assert describe_death(code) == expected
