"""One writer at a time: a lock that the operating system lets go of when its holder dies."""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charlm.errors import InputError


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold the lock on a file within the context; the file is made where it is not there, and stays.

    Yields:
        Whether the lock is held: False on a system, or a file system, that has no locks.

    Raises:
        InputError: another process holds it.
        OSError: the file cannot be opened.
    """
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        is_held = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_process_id(descriptor)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "of an unknown number"
            raise InputError(
                f"{path.parent}: process {holder} trains into this directory. "
                "Wait until it has ended, or give another directory with --out."
            ) from None
        except OSError:
            is_held = False
        yield is_held
    finally:
        os.close(descriptor)  # which releases the lock


def _write_process_id(descriptor: int) -> None:
    """Say who holds the lock, for the message to others; a full disk does not matter here."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
