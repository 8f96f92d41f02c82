"""A file lock that allows one writer at a time; the operating system releases it when the process ends."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from charlm.errors import CharlmError, InputError
from charlm.system.files import NO_FOLLOW, write_atomically


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold the lock on a file within the context; the file is created if it does not exist, and is not deleted.

    The ID of this process is written to a second file, for the error message of other processes.

    Yields:
        Whether the lock is held; False on a file system that does not support locks.

    Raises:
        InputError: another process holds the lock.
        OSError: the file cannot be opened.
    """
    with _try_to_lock(path, os.O_RDWR | os.O_CREAT) as is_held:
        if is_held:
            with contextlib.suppress(CharlmError):  # on a full disk the message does not give the process ID
                write_atomically(_holder_path(path), f"{os.getpid()}\n".encode())
        yield is_held


def refuse_holder(path: Path) -> None:
    """Raise an error if another process holds the lock on a file; nothing is written.

    A file that does not exist or cannot be opened counts as free: ``hold`` creates it, or raises the error.

    Raises:
        InputError: another process holds the lock.
    """
    with contextlib.suppress(OSError), _try_to_lock(path, os.O_RDONLY):
        pass


@contextmanager
def _try_to_lock(path: Path, flags: int) -> Iterator[bool]:
    descriptor = os.open(path, flags | NO_FOLLOW, 0o644)
    try:
        try:
            is_free = is_held = lock_descriptor(descriptor, blocking=False)
        except OSError:  # the file system does not support locks
            is_free, is_held = True, False
        if not is_free:
            raise InputError(
                f"{path.parent}: {_read_holder(path)} is training in this directory. "
                "Wait until it has ended, or give another directory with --out."
            )
        yield is_held
        if is_held:
            unlock_descriptor(descriptor)  # on Windows, closing the file releases the lock with a delay
    finally:
        os.close(descriptor)


def _holder_path(path: Path) -> Path:
    """Return the path of the file with the holder's process ID; on Windows others cannot read a locked file."""
    return path.with_name(f"{path.name}.pid")


def _read_holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        if process_id := _holder_path(path).read_text("ascii", "replace")[:20].strip():
            return f"process {process_id}"
    return "another process"
