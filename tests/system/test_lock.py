"""One writer at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from charlm.errors import InputError
from charlm.system.lock import hold

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


def test_windows_has_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows no lock is held, and nothing is written."""
    monkeypatch.setattr(sys, "platform", "win32")
    with hold(tmp_path / ".lock") as is_held:
        assert not is_held
    assert list(tmp_path.iterdir()) == []
