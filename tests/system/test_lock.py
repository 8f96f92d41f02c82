"""The lock that allows one writer at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.errors import InputError
from charlm.system.lock import hold, is_held, mark_ending, refuse_holder

HOLDER = """
import pathlib, sys
from charlm.system.lock import hold, mark_ending
with hold(pathlib.Path(sys.argv[1])):
    print(1, flush=True)
    input()
    mark_ending(pathlib.Path(sys.argv[1]))
    print(2, flush=True)
    input()
"""


def test_second_holder_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """The error contains the holder's process ID, and the lock is free after the holder is killed."""
    path = tmp_path / ".lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(InputError, match=f"process {process.pid} is training.*--out") as caught, hold(path):
            pass
        process.kill()
    assert caught.value.exit_status == 2
    with hold(path) as is_held:
        assert is_held


@pytest.mark.parametrize("is_killed", [False, True])
def test_holder_that_is_ending_is_waited_for(tmp_path: Path, is_killed: bool) -> None:
    """A process that says that it is ending is waited for, with one word; then the lock is held."""
    path = tmp_path / ".lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"2\n"
        said: list[str] = []

        def end(message: str) -> None:
            said.append(message)
            if is_killed:
                process.kill()
            else:
                process.stdin.write(b"\n")
                process.stdin.flush()

        with hold(path, end) as is_held:
            assert is_held
            assert (tmp_path / ".lock.pid").read_text() == f"{os.getpid()}\n"
    assert said == [f"{tmp_path}: process {process.pid} is saving its state and ending; waiting for it."]


def test_waiting_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the holder does not end, the error says so and what to do."""
    path = tmp_path / ".lock"
    monkeypatch.setattr("charlm.system.lock.MAX_ENDING_S", 0.01)
    with hold(path):
        mark_ending(path)
        with pytest.raises(InputError, match=f"process {os.getpid()} was told to end, but has not.*kill -9"):
            refuse_holder(path)


def test_a_new_holder_is_refused_at_once(tmp_path: Path) -> None:
    """If another process takes the lock meanwhile and trains on, waiting ends."""
    path = tmp_path / ".lock"
    with hold(path):
        mark_ending(path)
        with pytest.raises(InputError, match="process 7 is training"):
            refuse_holder(path, lambda _: (tmp_path / ".lock.pid").write_text("7\n"))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("content", ["", "1 ending\n", "\x1b[31m 5\n", "own"])
def test_file_of_a_dead_holder_means_nothing(tmp_path: Path, content: str) -> None:
    """What a dead process left behind does not matter, even if its ID is now that of another process."""
    (tmp_path / ".lock").touch()
    (tmp_path / ".lock.pid").write_text(f"{os.getpid()}\n" if content == "own" else content)
    refuse_holder(tmp_path / ".lock", pytest.fail)
    with hold(tmp_path / ".lock", pytest.fail) as is_held:
        assert is_held


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without locks, hold yields False instead of raising an error."""

    def fail(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", fail)
    with hold(tmp_path / ".lock") as is_held:
        assert not is_held


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the modification time of every file."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def test_refusal_and_its_check_write_nothing(tmp_path: Path) -> None:
    """Checking the lock and failing to acquire it neither change nor create a file."""
    path = tmp_path / ".lock"
    refuse_holder(path)
    assert snapshot(tmp_path) == {}
    with hold(path):
        held = snapshot(tmp_path)
        for attempt in (refuse_holder, lambda path: hold(path).__enter__()):
            with pytest.raises(InputError, match=f"process {os.getpid()} is training"):
                attempt(path)
        assert snapshot(tmp_path) == held
    path.write_text("from an older version\n")
    before = snapshot(tmp_path)
    refuse_holder(path)
    assert snapshot(tmp_path) == before


def test_holder_without_a_number(tmp_path: Path) -> None:
    """A held lock is refused even if the holder could not write its process ID."""
    with hold(tmp_path / ".lock"):
        (tmp_path / ".lock.pid").unlink()
        with pytest.raises(InputError, match="another process is training"):
            refuse_holder(tmp_path / ".lock")


def test_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    """If the lock file is a symbolic link, hold raises an error, the check before it does not; no file is created."""
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    refuse_holder(tmp_path / ".lock")
    with pytest.raises(OSError, match=r"symbolic links.*\.lock"), hold(tmp_path / ".lock"):
        pass
    assert not (tmp_path / "victim").exists()


def test_link_in_place_of_the_number_is_replaced(tmp_path: Path) -> None:
    """The target of a symbolic link is not overwritten."""
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / ".lock.pid").symlink_to(tmp_path / "victim")
    with hold(tmp_path / ".lock"):
        assert (tmp_path / ".lock.pid").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_pipe_in_place_of_the_lock(tmp_path: Path) -> None:
    """A named pipe in the place of the lock is locked like a file, without waiting for somebody who writes to it."""
    os.mkfifo(tmp_path / ".lock")

    def fail(*_: object) -> None:
        raise AssertionError("the lock waits for a writer")

    former = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    try:
        refuse_holder(tmp_path / ".lock")
        with hold(tmp_path / ".lock") as is_held:
            assert is_held
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def test_a_look_does_not_stop_a_new_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds the lock taken tries again a moment later, since another process may only have looked."""
    path = tmp_path / ".lock"
    path.touch()
    assert not is_held(path)
    assert not is_held(tmp_path / "nowhere")
    looking = hold(path)
    looking.__enter__()
    assert is_held(path)
    monkeypatch.setattr("time.sleep", lambda _: looking.__exit__(None, None, None))
    with hold(path) as is_locked:
        assert is_locked
