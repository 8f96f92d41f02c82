"""Files that are replaced whole or not at all."""

import contextlib
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from charlm.errors import CharlmError


def write_atomically(path: Path, content: bytes | memoryview, former: Sequence[Path] = ()) -> None:
    """Replace a file by new content that is on the disk before the old is gone.

    Whatever the moment at which the process dies, ``path`` holds the old content or the new, whole; or, with
    ``former``, for a moment nothing, while the first of those names holds the old.

    Args:
        path: the file.
        content: what it will hold.
        former: names under which earlier contents are kept, the newest first; what the last one held goes.

    Raises:
        CharlmError: it cannot be written; the old file stands.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        for newer, older in reversed(list(pairwise([path, *former]))):
            if newer.exists():
                newer.replace(older)
        unfinished.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # where nothing can be written, nothing can be removed
            unfinished.unlink()
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> CharlmError:
    """Return the error that says why a file of a run cannot be written, and what to do."""
    return CharlmError(
        f"{path}: cannot be written: {error.strerror or error}. What was saved before is unharmed; "
        "make room or give another --out, then go on with --resume."
    )


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":  # other systems cannot open a directory
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
