"""The store of built kernels: a private directory, one rename, and verified contents."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from disk_calls import record_flushes

from charlm.errors import CharlmError, DamagedError
from charlm.lstm.kernels import store

pytestmark = pytest.mark.usefixtures("_fresh_choice")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of the store; it does not exist yet."""
    return tmp_path / "cache" / "kernels"


def stored_file(directory: Path) -> Path:
    """Return the only library in the store."""
    (path,) = directory.iterdir()
    return path


def test_concurrent_writers_leave_one_library(directory: Path, built: bytes) -> None:
    """Processes that store one library at the same time all succeed, and leave one file and no temporary files."""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: store.write_library("a", built), range(3)))
    assert store.read_library("a") == built
    assert stored_file(directory).stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_libraries_are_told_apart(built: bytes) -> None:
    """A library is found only under the identity of what it was built from."""
    store.write_library("a", built)
    assert store.read_library("b") is None


def test_the_library_is_flushed_before_it_is_renamed(
    directory: Path, built: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is flushed to disk before it gets its final name, so a power failure cannot leave it empty."""
    renamed = record_flushes(monkeypatch)
    store.write_library("a", built)
    path = stored_file(directory)
    assert path.stat().st_ino in renamed[path]


def cut_short(path: Path) -> None:
    """Keep the first half."""
    os.truncate(path, path.stat().st_size // 2)


def flip_bit(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_huge(path: Path) -> None:
    """Make a file of 1 TiB that takes no space."""
    os.truncate(path, 1 << 40)


def replace_by_fifo(path: Path) -> None:
    """Make a FIFO that nobody writes to."""
    path.unlink()
    os.mkfifo(path, 0o600)


def replace_by_link(path: Path) -> None:
    """Make a symbolic link to a file with the right content."""
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def replace_by_directory(path: Path) -> None:
    """Make a directory."""
    path.unlink()
    path.mkdir()


def open_to_others(path: Path) -> None:
    """Let the group write."""
    path.chmod(0o620)


DAMAGES: dict[Callable[[Path], None], str] = {
    cut_short: "its checksum is wrong",
    flip_bit: "its checksum is wrong",
    make_huge: "it is not a library",
    replace_by_fifo: "it is not a library",
    replace_by_directory: "Is a directory",
    replace_by_link: "Too many levels of symbolic links",
    open_to_others: "other users can write to it",
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.items(), ids=[damage.__name__ for damage in DAMAGES])
def test_damage_is_found(damage: Callable[[Path], None], message: str, directory: Path, built: bytes) -> None:
    """A stored library that was changed in any way is not returned; the message says what is wrong."""
    store.write_library("a", built)
    damage(stored_file(directory))
    with pytest.raises(DamagedError, match=message):
        store.read_library("a")
    if damage is not replace_by_directory:
        assert store.read_library("a") is None


def test_a_library_of_another_user_is_refused(directory: Path, built: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that another user put into the store is not returned."""
    store.write_library("a", built)
    monkeypatch.setattr(store, "_open_store", lambda: directory)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(DamagedError, match="other users can write to it"):
        store.read_library("a")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_store_that_others_can_write_to_is_refused(directory: Path, built: bytes, mode: int) -> None:
    """Nothing is read from a directory that other users can write to, and nothing is stored in it."""
    store.write_library("a", built)
    directory.chmod(mode)
    assert store.read_library("a") is None
    with pytest.raises(CharlmError, match=r"other users can write to it.*CHARLM_CACHE_DIR"):
        store.write_library("b", built)


def test_a_linked_store_is_refused(directory: Path, built: bytes) -> None:
    """A symbolic link in place of the directory is not followed."""
    store.write_library("a", built)
    directory.rename(directory.parent / "elsewhere")
    directory.symlink_to(directory.parent / "elsewhere")
    assert store.read_library("a") is None
    with pytest.raises(CharlmError, match="it is not a directory"):
        store.write_library("b", built)


@pytest.mark.parametrize("has_anonymous_files", [True, False])
def test_a_library_is_loaded_without_its_path(
    has_anonymous_files: bool, built: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library is loaded from memory, or where the system cannot do that, from a private directory that is deleted."""
    if not has_anonymous_files:
        monkeypatch.delattr(os, "memfd_create")
    library = store.load_from_memory(built)
    assert library.lstm_runs_portable() == 1
    assert library._name.startswith("/proc/self/fd/") is has_anonymous_files
    assert has_anonymous_files or not Path(library._name).parent.exists()


def test_two_libraries_are_not_confused(built: bytes) -> None:
    """Each library is loaded anew: the loader would take an equal path for the same library."""
    first, second = store.load_from_memory(built), store.load_from_memory(built)
    assert first._handle != second._handle


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF" + bytes(100)])
def test_another_content_is_not_loaded(content: bytes) -> None:
    """What is not a library raises an OSError."""
    with pytest.raises(OSError, match=r"short|invalid|ELF"):
        store.load_from_memory(content)
