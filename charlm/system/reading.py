"""Opening files that a user names: regular files only, whose names are text."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from charlm.errors import InputError

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""Files that are refused, by type: a read from one may wait forever or never end."""

NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
"""Flag with which opening a pipe does not wait for its writer; Windows has no such flag and needs none."""


def require_text_name(path: Path) -> Path:
    """Return a path; one that is not valid UTF-8 is refused, because torch, TensorBoard and JSON cannot take it.

    Raises:
        InputError: it is not valid UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InputError(f"{shown}: the path is not valid UTF-8. Rename it, or give another.") from None
    return path


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes; a pipe, a socket or a device is refused without waiting for it.

    Raises:
        InputError: it is a pipe, a socket or a device.
        OSError: it cannot be opened, or is a directory.
        ValueError: the path contains a NUL character.
    """
    _refuse_special(path, path.stat().st_mode)  # before it is opened: to open a device may already have an effect
    return cast(BinaryIO, open(path, "rb", opener=_open_descriptor))


def _open_descriptor(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | NO_WAIT)
    try:
        _refuse_special(Path(path), os.fstat(descriptor).st_mode)  # it may have been replaced since the first check
    except InputError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_special(path: Path, mode: int) -> None:
    if kind := KINDS.get(stat.S_IFMT(mode)):
        raise InputError(f"{path}: {kind}, not a regular file. Save its content to a regular file and name that.")
