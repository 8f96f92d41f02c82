"""Files and directories that are put in place whole or not at all."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from charlm.errors import CharlmError

SCRAP_PREFIX = ".unfinished-"
"""Begins the name of a directory in which something is being created."""

SCRAP_AGE_S = 24 * 3600
"""Age at which such a directory is taken for the remains of a killed process; a live one is finished long before."""


def write_atomically(path: Path, content: bytes | memoryview, former: Sequence[Path] = ()) -> None:
    """Replace a file that one process writes by new content that is on the disk before the old is gone.

    Whenever the process dies, ``path`` holds the old content or the new, whole; or, with ``former``, for a moment
    nothing, while the first of those names holds the old.

    Args:
        path: the file.
        content: what it will hold.
        former: names under which earlier contents are kept, the newest first; what the last one held is removed.

    Raises:
        CharlmError: it cannot be written; the old file is unchanged.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        _put_in_place(unfinished, path, former)
    except OSError as error:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing can be removed
            unfinished.unlink()
        raise cannot_write(path, error) from None


@contextmanager
def create_atomically(path: Path) -> Iterator[Path]:
    """Create a file, or a directory of files, that several processes may create at the same time.

    It appears under its name, flushed to the disk, when the context ends without an error. Where another process has
    created it meanwhile, an error does not matter and the other's may stay.

    Args:
        path: the final name; its parent directories are made.

    Yields:
        The name under which to create it, in a directory of its own that may hold other files and is removed.

    Raises:
        OSError: it cannot be written, and no other process has created it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_scraps(path.parent)
    with tempfile.TemporaryDirectory(prefix=SCRAP_PREFIX, dir=path.parent, ignore_cleanup_errors=True) as scratch:
        unfinished = Path(scratch) / path.name
        try:
            yield unfinished
            _put_in_place(unfinished, path)
        except OSError:
            if not path.exists():
                raise


def cannot_write(path: Path, error: OSError) -> CharlmError:
    """Return the error that says why a file of a run cannot be written, and what to do."""
    return CharlmError(
        f"{path}: cannot be written: {error.strerror or error}. What was saved before is unharmed; "
        "make room or give another --out, then go on with --resume."
    )


def _put_in_place(unfinished: Path, path: Path, former: Sequence[Path] = ()) -> None:
    """Flush a file, or a directory of files, to the disk and rename it; with ``former``, keep what was there."""
    for file in unfinished.iterdir() if unfinished.is_dir() else [unfinished]:
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
    if unfinished.is_dir():
        _sync_directory(unfinished)
    for newer, older in reversed(list(pairwise([path, *former]))):
        if newer.exists():
            newer.replace(older)
    unfinished.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":  # other systems cannot open a directory
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_scraps(directory: Path) -> None:
    for scrap in directory.glob(f"{SCRAP_PREFIX}*"):
        with contextlib.suppress(OSError):  # another process may be removing it too
            if time.time() - scrap.stat().st_mtime > SCRAP_AGE_S:
                shutil.rmtree(scrap, ignore_errors=True)
