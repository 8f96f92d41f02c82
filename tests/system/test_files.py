"""Files are replaced whole or not at all, whatever fails and wherever the process dies."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charlm.errors import CharlmError
from charlm.system.files import write_atomically

SYSTEM_CALLS = [(Path, "open"), (os, "fsync"), (Path, "replace"), (os, "open")]
"""What a write does, in its order; the last opens the directory to flush it."""

LIMIT_BYTES = 1 << 16


class ProcessDied(BaseException):
    """Stands for the death of the process: nothing handles it."""


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond the limit, as a full disk would not."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, former[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


def fail_at(call: tuple[Any, str], error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let one system call raise."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    patch.setattr(*call, fail)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", SYSTEM_CALLS, ids=lambda call: call[1])
def test_failure_is_told_and_leaves_a_whole_file(tmp_path: Path, call: Any, number: int) -> None:
    """Whichever step fails for whatever reason, the file is whole, and the error says the reason and the remedy."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(call, OSError(number, os.strerror(number)), patch)
        with pytest.raises(CharlmError, match=f"{os.strerror(number)}.*unharmed.*--resume") as caught:
            write_atomically(path, b"new")
    assert caught.value.exit_status == 1
    assert path.read_bytes() == (b"new" if call == (os, "open") else b"old")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", SYSTEM_CALLS, ids=lambda call: call[1])
def test_death_leaves_a_whole_file(tmp_path: Path, call: Any) -> None:
    """A process that dies before any step leaves the old file or the new one, and the next write succeeds."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(call, ProcessDied(), patch)
        with pytest.raises(ProcessDied):
            write_atomically(path, b"new")
    assert path.read_bytes() == (b"new" if call == (os, "open") else b"old")
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_death_between_renames_leaves_a_whole_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """While earlier contents move on, the newest is always whole under one of the names."""
    names = [tmp_path / name for name in ("last", "last-1", "last-2")]
    for content in (b"1", b"2", b"3"):
        write_atomically(names[0], content, names[1:])
    replace, left = Path.replace, iter(range(renames))

    def die_later(source: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise ProcessDied
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", die_later)
    with pytest.raises(ProcessDied):
        write_atomically(names[0], b"4", names[1:])
    assert next(name.read_bytes() for name in names if name.exists()) == b"3"


def test_former_contents_are_kept_in_order(tmp_path: Path) -> None:
    """The contents before stand under the names given, the newest first, and no more of them."""
    names = [tmp_path / name for name in ("last", "last-1", "last-2")]
    for content in (b"1", b"2", b"3", b"4"):
        write_atomically(names[0], content, names[1:])
    assert [name.read_bytes() for name in names] == [b"4", b"3", b"2"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("small_files")
def test_file_too_large_for_the_disk(tmp_path: Path) -> None:
    """Content that the system refuses midway leaves the old file."""
    write_atomically(tmp_path / "file", b"old")
    with pytest.raises(CharlmError, match="File too large"):
        write_atomically(tmp_path / "file", b"x" * (LIMIT_BYTES + 1))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
