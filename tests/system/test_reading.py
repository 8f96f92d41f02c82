"""Opening files that a user names: regular files only."""

import os
import socket
from pathlib import Path

import pytest

from charlm.errors import InputError
from charlm.system import reading
from charlm.system.reading import open_regular, require_text_name


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """A regular file gives its bytes, also through a symbolic link."""
    (tmp_path / "a").write_bytes(b"some bytes")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_regular(tmp_path / name) as stream:
            assert stream.read() == b"some bytes"


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_special_files_are_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a socket and a device are refused at once, and are not even opened."""
    path = Path(os.devnull) if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(InputError, match=rf"{path}: a {kind}, not a regular file\. Save its content to a regular"):
        open_regular(path)


def test_a_file_that_becomes_a_pipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that is put in the place of a file after its first check is refused without waiting, and is closed."""
    (tmp_path / "a").touch()
    check = reading._refuse_special

    def check_and_replace(path: Path, mode: int) -> None:
        check(path, mode)
        path.unlink()
        os.mkfifo(path)

    monkeypatch.setattr(reading, "_refuse_special", check_and_replace)
    num_open = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(InputError, match="a pipe, not a regular file"):
        open_regular(tmp_path / "a")
    assert len(list(Path("/proc/self/fd").iterdir())) == num_open


@pytest.mark.parametrize(("name", "error"), [("missing", FileNotFoundError), (".", IsADirectoryError)])
def test_other_errors_are_those_of_the_system(name: str, error: type[OSError], tmp_path: Path) -> None:
    """A missing file and a directory raise the system's error."""
    with pytest.raises(error):
        open_regular(tmp_path / name)


def test_a_name_that_is_no_text_is_refused() -> None:
    """A path that is not valid UTF-8 is refused, and shown with its bytes; any other is returned."""
    assert require_text_name(Path("mój dom/猫")) == Path("mój dom/猫")
    with pytest.raises(InputError, match=r"^a/x\\xff: the path is not valid UTF-8\. Rename it, or give another\.$"):
        require_text_name(Path(os.fsdecode(b"a/x\xff")))
