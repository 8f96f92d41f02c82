"""One writer at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.errors import InputError
from charlm.system.lock import hold, refuse_holder

HOLDER = """
import pathlib, sys
from charlm.system.lock import hold
with hold(pathlib.Path(sys.argv[1])):
    print(1, flush=True)
    input()
"""


def test_second_holder_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """The lock is refused with the holder's number, and free again once the holder was killed."""
    path = tmp_path / ".lock"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(InputError, match=f"process {process.pid} trains.*--out") as caught, hold(path):
            pass
        process.kill()
    assert caught.value.exit_status == 2
    with hold(path) as is_held:
        assert is_held


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no locks, that is said instead of refused."""

    def fail(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", fail)
    with hold(tmp_path / ".lock") as is_held:
        assert not is_held


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the time of change of every file."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def test_refusal_and_its_check_write_nothing(tmp_path: Path) -> None:
    """Neither asking whether the lock is held, nor being refused, changes a file or makes one."""
    path = tmp_path / ".lock"
    refuse_holder(path)
    assert snapshot(tmp_path) == {}
    with hold(path):
        held = snapshot(tmp_path)
        for attempt in (refuse_holder, lambda path: hold(path).__enter__()):
            with pytest.raises(InputError, match=f"process {os.getpid()} trains"):
                attempt(path)
        assert snapshot(tmp_path) == held
    path.write_text("from an older version\n")
    before = snapshot(tmp_path)
    refuse_holder(path)
    assert snapshot(tmp_path) == before


def test_holder_without_a_number(tmp_path: Path) -> None:
    """A lock whose holder could not write its number is refused nevertheless."""
    with hold(tmp_path / ".lock"):
        (tmp_path / ".lock.pid").unlink()
        with pytest.raises(InputError, match="process of an unknown number trains"):
            refuse_holder(tmp_path / ".lock")


def test_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    """A symbolic link makes no file elsewhere."""
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"symbolic links.*\.lock"), hold(tmp_path / ".lock"):
        pass
    assert not (tmp_path / "victim").exists()


def test_link_in_place_of_the_number_is_replaced(tmp_path: Path) -> None:
    """The file that a symbolic link leads to is not overwritten."""
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / ".lock.pid").symlink_to(tmp_path / "victim")
    with hold(tmp_path / ".lock"):
        assert (tmp_path / ".lock.pid").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "victim").read_bytes() == b"mine"
