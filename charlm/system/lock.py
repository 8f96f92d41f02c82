"""One writer at a time: a lock that the operating system releases when its holder dies."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from charlm.errors import CharlmError, InputError
from charlm.system.files import write_atomically

NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""Refuses a symbolic link, which could lead to any file; Windows has no such flag."""


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold the lock on a file within the context; the file is made where it is not there, and stays.

    The number of this process is written to a file beside it, for the message to others.

    Yields:
        Whether the lock is held: False on a file system that has no locks.

    Raises:
        InputError: another process holds it.
        OSError: the file cannot be opened.
    """
    with _try_to_lock(path, os.O_RDWR | os.O_CREAT) as is_held:
        if is_held:
            with contextlib.suppress(CharlmError):  # on a full disk the message names no process
                write_atomically(_holder_path(path), f"{os.getpid()}\n".encode())
        yield is_held


def refuse_holder(path: Path) -> None:
    """Make sure that no process holds the lock on a file now, and write nothing.

    Raises:
        InputError: one does.
    """
    with contextlib.suppress(OSError), _try_to_lock(path, os.O_RDONLY):  # OSError: there is no such file
        pass


@contextmanager
def _try_to_lock(path: Path, flags: int) -> Iterator[bool]:
    descriptor = os.open(path, flags | NO_FOLLOW, 0o644)
    try:
        try:
            is_free = is_held = lock_descriptor(descriptor, blocking=False)
        except OSError:  # the file system has no locks
            is_free, is_held = True, False
        if not is_free:
            raise InputError(
                f"{path.parent}: process {_read_holder(path)} trains into this directory. "
                "Wait until it has ended, or give another directory with --out."
            )
        yield is_held
        if is_held:
            unlock_descriptor(descriptor)  # on Windows, closing the file releases the lock only some time later
    finally:
        os.close(descriptor)


def _holder_path(path: Path) -> Path:
    """Return the file with the holder's number; on Windows a locked file itself cannot be read by others."""
    return path.with_name(f"{path.name}.pid")


def _read_holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        return _holder_path(path).read_text("ascii", "replace")[:20].strip() or "of an unknown number"
    return "of an unknown number"
