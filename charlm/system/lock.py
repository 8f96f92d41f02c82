"""A file lock that allows one writer at a time; the operating system releases it when the process ends."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import lock_descriptor, unlock_descriptor

from charlm.errors import CharlmError, InputError
from charlm.system.files import NO_FOLLOW, write_atomically
from charlm.system.reading import NO_WAIT

MAX_ENDING_S = 60.0
"""How long to wait for a process that is ending: for its last step, a validation and a save."""

POLL_S = 0.1
"""How often to try again meanwhile."""

ENDING = "ending"
"""What the holder's file says after the process ID when the holder is about to release the lock."""

Announce = Callable[[str], None]


class Holder(NamedTuple):
    """The process that holds a lock, as far as its file tells.

    Attributes:
        name: of the process, for a message.
        is_ending: whether it is saving its state and will release the lock.
    """

    name: str = "another process"
    is_ending: bool = False


@contextmanager
def hold(path: Path, announce: Announce = lambda _: None) -> Iterator[bool]:
    """Hold the lock on a file within the context; the file is created if it does not exist, and is not deleted.

    The ID of this process is written to a second file, for the error message of other processes. A holder that is
    ending is waited for.

    Args:
        path: the file.
        announce: called with one line before waiting.

    Yields:
        Whether the lock is held; False on a file system that does not support locks.

    Raises:
        InputError: another process holds the lock.
        OSError: the file cannot be opened.
    """
    with _try_to_lock(path, os.O_RDWR | os.O_CREAT, announce) as is_held:
        if is_held:
            _write_holder(path, f"{os.getpid()}")
        yield is_held


def mark_ending(path: Path) -> None:
    """Tell processes that want the lock, which this process holds, to wait for it."""
    _write_holder(path, f"{os.getpid()} {ENDING}")


def refuse_holder(path: Path, announce: Announce = lambda _: None) -> None:
    """Raise an error if another process holds the lock on a file; nothing is written.

    A file that does not exist or cannot be opened counts as free: ``hold`` creates it, or raises the error. A holder
    that is ending is waited for.

    Args:
        path: the file.
        announce: called with one line before waiting.

    Raises:
        InputError: another process holds the lock.
    """
    with contextlib.suppress(OSError), _try_to_lock(path, os.O_RDONLY, announce):
        pass


def is_held(path: Path) -> bool:
    """Return whether another process holds the lock on a file; nothing is written.

    A file that does not exist or cannot be opened counts as free. The look takes the lock for a moment, in which
    another process may try to take it: that one tries again after ``POLL_S``.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | NO_FOLLOW | NO_WAIT)
        try:
            if not lock_descriptor(descriptor, blocking=False):
                return True
            unlock_descriptor(descriptor)
        finally:
            os.close(descriptor)
    return False


@contextmanager
def _try_to_lock(path: Path, flags: int, announce: Announce) -> Iterator[bool]:
    descriptor = os.open(path, flags | NO_FOLLOW | NO_WAIT, 0o644)
    try:
        try:
            is_free = is_held = lock_descriptor(descriptor, blocking=False) or _wait(descriptor, path, announce)
        except OSError:  # the file system does not support locks
            is_free, is_held = True, False
        if not is_free:
            raise _refuse(path)
        yield is_held
        if is_held:
            unlock_descriptor(descriptor)  # on Windows, closing the file releases the lock with a delay
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, announce: Announce) -> bool:
    """Wait for a lock as long as its holder is ending, and return whether it is held now."""
    time.sleep(POLL_S)
    if lock_descriptor(descriptor, blocking=False):  # the holder only looked whether the lock is held
        return True
    gives_up_at_s = time.monotonic() + MAX_ENDING_S
    is_announced = False
    while (holder := _read_holder(path)).is_ending and time.monotonic() < gives_up_at_s:
        if not is_announced:
            announce(f"{path.parent}: {holder.name} is saving its state and ending; waiting for it.")
            is_announced = True
        time.sleep(POLL_S)
        if lock_descriptor(descriptor, blocking=False):
            return True
    return False


def _refuse(path: Path) -> InputError:
    """Return the error for a lock that another process holds."""
    holder = _read_holder(path)
    if holder.is_ending:
        return InputError(
            f"{path.parent}: {holder.name} was told to end, but has not ended after {MAX_ENDING_S:.0f} s. "
            "Wait until it has, or end it with kill -9: its earlier saves are intact."
        )
    return InputError(
        f"{path.parent}: {holder.name} is training in this directory. "
        "Wait until it has ended, or give another directory with --out."
    )


def _holder_path(path: Path) -> Path:
    """Return the path of the file about the holder; on Windows others cannot read a locked file."""
    return path.with_name(f"{path.name}.pid")


def _write_holder(path: Path, text: str) -> None:
    with contextlib.suppress(CharlmError):  # on a full disk the message does not give the process ID
        write_atomically(_holder_path(path), f"{text}\n".encode())


def _read_holder(path: Path) -> Holder:
    with contextlib.suppress(OSError):
        words = _holder_path(path).read_text("ascii", "replace")[:40].split()
        if words and words[0].isdecimal():
            return Holder(f"process {words[0]}", words[1:] == [ENDING])
    return Holder()
