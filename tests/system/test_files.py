"""Atomic writing of files, also when a system call fails or the process dies."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from disk_calls import record_flushes

from charlm.errors import CharlmError
from charlm.system import files
from charlm.system.files import (
    MAX_TEMPORARY_AGE_S,
    TEMPORARY_PREFIX,
    create_atomically,
    open_for_writing,
    scratch_directory,
    write_atomically,
)

SYSTEM_CALLS = [(files, "open_for_writing"), (os, "fsync"), (Path, "replace"), (files, "_sync_directory")]
"""The steps that write a file, in order; the last one flushes the directory."""

LIMIT_BYTES = 1 << 16


class ProcessDied(BaseException):
    """Simulates the death of the process; no code catches it."""


@pytest.fixture
def small_files() -> Iterator[None]:
    """Limit the size of files, as a full disk does."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, former[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


def fail_at(call: tuple[Any, str], error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Make one system call raise an error."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    patch.setattr(*call, fail)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", SYSTEM_CALLS, ids=lambda call: call[1])
def test_failure_is_told_and_leaves_a_whole_file(tmp_path: Path, call: Any, number: int) -> None:
    """If any step fails, the file is complete and the error gives the reason and the remedy."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(call, OSError(number, os.strerror(number)), patch)
        with pytest.raises(CharlmError, match=f"{os.strerror(number)}.*intact.*--resume") as caught:
            write_atomically(path, b"new")
    assert caught.value.exit_status == 1
    assert path.read_bytes() == (b"new" if call[1] == "_sync_directory" else b"old")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", SYSTEM_CALLS, ids=lambda call: call[1])
def test_death_leaves_a_whole_file(tmp_path: Path, call: Any) -> None:
    """A process that dies before any of the steps leaves the old or the new file, and the next write succeeds."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        fail_at(call, ProcessDied(), patch)
        with pytest.raises(ProcessDied):
            write_atomically(path, b"new")
    assert path.read_bytes() == (b"new" if call[1] == "_sync_directory" else b"old")
    for scrap in tmp_path.glob(".*"):
        os.utime(scrap, (0, 0))  # a day later
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_death_between_renames_leaves_a_whole_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """While earlier contents are renamed, the newest one is always complete under one of the paths."""
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
    """Earlier contents are kept under the given paths, the newest first, and older ones are deleted."""
    names = [tmp_path / name for name in ("last", "last-1", "last-2")]
    for content in (b"1", b"2", b"3", b"4"):
        write_atomically(names[0], content, names[1:])
    assert [name.read_bytes() for name in names] == [b"4", b"3", b"2"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("small_files")
def test_file_too_large_for_the_disk(tmp_path: Path) -> None:
    """If the system rejects a write in the middle of the content, the old file is kept."""
    write_atomically(tmp_path / "file", b"old")
    with pytest.raises(CharlmError, match="File too large"):
        write_atomically(tmp_path / "file", b"x" * (LIMIT_BYTES + 1))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def make_file(path: Path) -> None:
    """Create a file, and a second one that is needed only to create it."""
    (path.parent / "object.o").write_bytes(b"temporary")
    path.write_bytes(b"new")


def make_directory(path: Path) -> None:
    """Create a directory of two files."""
    path.mkdir()
    (path / "a").write_bytes(b"new")
    (path / "b").write_bytes(b"new")


makers = pytest.mark.parametrize("make", [make_file, make_directory])


def read_tree(path: Path) -> dict[str, bytes]:
    """Return the content of every file below a directory."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@makers
def test_creation_is_flushed_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    """All files are flushed before the rename, the parent directory after it, and no temporary files are left."""
    path = tmp_path / "parent" / "name"
    renamed = record_flushes(monkeypatch)
    with create_atomically(path) as unfinished:
        make(unfinished)
        assert not path.exists()
    assert {entry.stat().st_ino for entry in [path, *path.rglob("*")]} <= renamed[path]
    with create_atomically(tmp_path / "parent" / "other") as unfinished:
        make(unfinished)
    assert path.parent.stat().st_ino in renamed[tmp_path / "parent" / "other"]
    assert {entry.name for entry in path.parent.iterdir()} == {"name", "other"}


@makers
@pytest.mark.parametrize("call", SYSTEM_CALLS[1:3], ids=lambda call: call[1])
def test_failed_creation_leaves_nothing(tmp_path: Path, call: Any, make: Any) -> None:
    """If the flush or the rename fails, nothing is created and the error reaches the caller."""
    with pytest.MonkeyPatch.context() as patch:
        fail_at(call, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), patch)
        with pytest.raises(OSError, match="No space left"), create_atomically(tmp_path / "name") as unfinished:
            make(unfinished)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ProcessDied(), KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), CharlmError("x")])
def test_interrupted_creation_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    """If the context ends with an error, nothing is created and no temporary files are left."""
    with pytest.raises(type(error)), create_atomically(tmp_path / "name") as unfinished:
        make_directory(unfinished)
        raise error
    assert list(tmp_path.iterdir()) == []


@makers
@pytest.mark.parametrize("is_failing", [False, True])
def test_another_process_may_create_it_first(tmp_path: Path, make: Any, is_failing: bool) -> None:
    """If two processes create the same path, neither fails, even if one fills the disk, and one result is kept."""
    path = tmp_path / "name"
    with create_atomically(path) as unfinished:
        make(unfinished)
        with create_atomically(path) as others:
            make(others)
        if is_failing:
            raise OSError(errno.ENOSPC, "full")
    assert set(read_tree(tmp_path)) == ({"name"} if make is make_file else {"name/a", "name/b"})


@pytest.mark.parametrize(("age_s", "is_left"), [(10, True), (MAX_TEMPORARY_AGE_S + 60, False)])
def test_scraps_of_killed_processes_are_removed(tmp_path: Path, age_s: float, is_left: bool) -> None:
    """Temporary files of killed processes are deleted after a day; newer ones are kept."""
    temporary = tmp_path / f"{TEMPORARY_PREFIX}abc"
    make_directory(temporary)
    then_s = temporary.stat().st_mtime - age_s
    os.utime(temporary, (then_s, then_s))
    with create_atomically(tmp_path / "name") as unfinished:
        make_file(unfinished)
    assert temporary.exists() is is_left


def test_scraps_of_other_users_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory for everyone's temporary files, those of other users are not touched, even by root."""
    temporary = tmp_path / f"{TEMPORARY_PREFIX}abc"
    temporary.mkdir()
    os.utime(temporary, (0, 0))
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with scratch_directory(tmp_path) as scratch:
        assert scratch.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == [temporary]


def plant_link(name: Path) -> Path:
    """Create a link to another user's file, as an attacker would; return the file."""
    target = name.parent.parent / "precious"
    target.write_bytes(b"precious")
    name.symlink_to(target)
    return target


@pytest.mark.parametrize("former", [False, True])
def test_planted_link_is_replaced(tmp_path: Path, former: bool) -> None:
    """A symbolic link at the path of a file, or of its earlier contents, is replaced; its target is not written."""
    directory = tmp_path / "run"
    directory.mkdir()
    path, old = directory / "last.pt", directory / "last-1.pt"
    write_atomically(path, b"old")
    if not former:
        path.unlink()
    target = plant_link(old if former else path)
    write_atomically(path, b"new", [old])
    assert target.read_bytes() == b"precious"
    assert not path.is_symlink()
    assert path.read_bytes() == b"new"
    assert not former or (not old.is_symlink() and old.read_bytes() == b"old")


def test_planted_link_at_a_created_path_is_replaced(tmp_path: Path) -> None:
    """A symbolic link at the path of a cached file is replaced too."""
    (tmp_path / "cache").mkdir()
    target = plant_link(tmp_path / "cache" / "name")
    with create_atomically(tmp_path / "cache" / "name") as unfinished:
        make_file(unfinished)
    assert target.read_bytes() == b"precious"
    assert (tmp_path / "cache" / "name").read_bytes() == b"new"


def test_temporary_names_cannot_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write uses another name, and what stands at a temporary name is neither followed nor overwritten."""
    names: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda source, target: (names.append(source.name), replace(source, target)))
    for _ in range(20):
        write_atomically(tmp_path / "file", b"x")
    assert len(set(names)) == 20
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    target = plant_link(tmp_path / "run" / ".file.known.unfinished")
    with pytest.raises(CharlmError, match="File exists"):
        write_atomically(tmp_path / "run" / "file", b"x")
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize(("mode", "message"), [("xb", "File exists"), ("ab", "symbolic links")])
def test_opening_for_writing_follows_no_link(tmp_path: Path, mode: Any, message: str) -> None:
    """A file is neither created nor extended through a symbolic link."""
    (tmp_path / "run").mkdir()
    target = plant_link(tmp_path / "run" / "log")
    with pytest.raises(OSError, match=message):
        open_for_writing(tmp_path / "run" / "log", mode)
    assert target.read_bytes() == b"precious"


def test_appending_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    """A pipe that nobody reads is refused at once."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match="No such device"):
        open_for_writing(tmp_path / "log", "ab")


def test_files_follow_the_umask(tmp_path: Path) -> None:
    """A file may be read by others if the user's umask says so."""
    former = os.umask(0o027)
    write_atomically(tmp_path / "file", b"x")
    os.umask(former)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_new_directory_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of a new directory and of its new parents are flushed, so that a power failure loses no run."""
    flushed: list[Path] = []
    monkeypatch.setattr(files, "_sync_directory", flushed.append)
    files.make_directory(tmp_path / "a" / "b")
    files.make_directory(tmp_path / "a" / "b")
    assert sorted(flushed) == [tmp_path, tmp_path / "a"]
    assert (tmp_path / "a" / "b").is_dir()
