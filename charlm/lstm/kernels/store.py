"""The store of built kernels in the cache directory. Code from it is executed, so nothing in it is trusted unchecked.

A library's file name contains a hash of what it was built from, and the checksum of its content, so that one rename
stores both. What is loaded is exactly the content whose checksum was verified: it is read once, from one open file that
belongs to this user and that others cannot write to, and it is then loaded from memory and not from the path.
"""

import contextlib
import ctypes
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from charlm.errors import CharlmError, DamagedError
from charlm.system.cache import cache_directory, cannot_use, is_changeable_by_others, make_private
from charlm.system.files import NO_FOLLOW, create_atomically, scratch_directory
from charlm.system.reading import NO_WAIT

MAX_LIBRARY_BYTES = 1 << 26
"""A larger file is not read; a library has less than one MiB."""

ENTRY_POINT = "lstm_forward_portable"
"""A function that every library of the kernels has."""


def read_library(identity: str) -> bytes | None:
    """Return the content of the stored library, or None if there is none or the store is not private.

    Args:
        identity: hash of what the library is built from.

    Raises:
        DamagedError: its content is not what was stored, or others can write to it; it was deleted if possible.
    """
    try:
        directory = _open_store()
    except (CharlmError, OSError):
        return None  # ``write_library`` gives the reason
    path = next(iter(sorted(directory.glob(f"lstm-{identity}-*.so"))), None)
    if path is None:
        return None
    try:
        content = _read_private(path)
        if hashlib.sha256(content).hexdigest() != path.stem.rpartition("-")[2]:
            raise DamagedError(f"{path}: damaged, its checksum is wrong")
    except (DamagedError, OSError) as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise error if isinstance(error, DamagedError) else DamagedError(f"{path}: {error.strerror}") from None
    return content


def write_library(identity: str, content: bytes) -> None:
    """Store a library; other processes may store it at the same time and never see an incomplete one.

    Args:
        identity: hash of what the library is built from.
        content: of the library.

    Raises:
        CharlmError: other users can write to the cache, or it cannot be written; the message gives the remedy.
    """
    try:
        path = _open_store() / f"lstm-{identity}-{hashlib.sha256(content).hexdigest()}.so"
        with create_atomically(path) as unfinished:
            unfinished.touch(0o600)
            unfinished.write_bytes(content)
    except OSError as error:
        raise cannot_use(cache_directory() / "kernels", error.strerror or str(error)) from None


def load_from_memory(content: bytes) -> ctypes.CDLL:
    """Load a library without a file that another process could change or cut short.

    On Linux the content is in an anonymous file; elsewhere it is in a private temporary directory that is deleted.

    Raises:
        OSError: it is not a library, or not one with the kernels.
    """
    try:
        library = _load_anonymous(content)
    except (AttributeError, OSError):  # not Linux, or no /proc; if it is no library, the second attempt fails too
        with scratch_directory(Path(tempfile.gettempdir())) as scratch:
            file = scratch / "lstm.so"
            file.write_bytes(content)
            library = ctypes.CDLL(str(file))
    if not hasattr(library, ENTRY_POINT):
        raise OSError("it does not contain the kernels")
    return library


def _open_store() -> Path:
    directory = cache_directory() / "kernels"
    make_private(directory)
    return directory


def _read_private(path: Path) -> bytes:
    """Return the content of a file of this user; opening a FIFO or a link does not wait and follows nothing.

    Raises:
        DamagedError: it is not a regular file, is too large, or others can write to it.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | NO_FOLLOW | NO_WAIT | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_LIBRARY_BYTES:
            raise DamagedError(f"{path}: damaged, it is not a library")
        if is_changeable_by_others(status):
            raise DamagedError(f"{path}: other users can write to it")
        return stream.read(MAX_LIBRARY_BYTES)


def _load_anonymous(content: bytes) -> ctypes.CDLL:
    """Load a library from an anonymous file, whose descriptor stays open: the loader recognizes libraries by path."""
    descriptor = os.memfd_create("charlm-kernels")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            stream.write(content)
        return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    except OSError:
        os.close(descriptor)
        raise
