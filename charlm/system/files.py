"""Atomic writing of files and directories: the final path never contains a partial result.

No symbolic link is followed at the path of a file: it is replaced by the new file, and its target stays as it is.
Links to directories are followed.
"""

import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import BinaryIO, Literal, cast

from charlm.errors import WriteError
from charlm.system.reading import NO_WAIT

NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""Flag that rejects symbolic links, which could point to any file; Windows has no such flag."""

TEMPORARY_PREFIX = ".unfinished-"
"""Prefix of the temporary directories in which files are created."""

TEMPORARY_NAMES = (f"{TEMPORARY_PREFIX}*", ".*.unfinished")
"""Patterns of the names of all temporary directories and files."""

MAX_TEMPORARY_AGE_S = 24 * 3600
"""Age in seconds above which those are deleted: the process that created it no longer runs."""


def write_atomically(path: Path, content: bytes | memoryview, former: Sequence[Path] = ()) -> None:
    """Replace a file atomically.

    The new content is flushed to the disk before the old file is replaced. If the process dies at any moment, ``path``
    contains the complete old or the complete new content. With ``former`` there is a short moment in which ``path``
    does not exist and the first path of ``former`` contains the old content.

    Args:
        path: the file.
        content: its new content.
        former: paths under which earlier contents are kept, the newest first; the oldest content is deleted.

    Raises:
        WriteError: it cannot be written; the old file is unchanged.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}.unfinished")
    _delete_old_temporaries(path.parent)
    try:
        with open_for_writing(unfinished, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _put_in_place(unfinished, path, former)
    except OSError as error:
        with contextlib.suppress(OSError):  # the deletion may fail for the same reason as the write
            unfinished.unlink()
        raise cannot_write(path, error) from None


def open_for_writing(path: Path, mode: Literal["xb", "ab"]) -> BinaryIO:
    """Open a file to create it or to append to it; a symbolic link in its place is not followed, but refused.

    A pipe without a reader is refused too, instead of waiting for one.

    Raises:
        OSError: it cannot be opened, or (mode ``xb``) something is there.
    """

    def open_descriptor(name: str, flags: int) -> int:
        return os.open(name, flags | NO_FOLLOW | NO_WAIT, 0o666)

    return cast(BinaryIO, open(path, mode, opener=open_descriptor))


@contextmanager
def create_atomically(path: Path) -> Iterator[Path]:
    """Create a file, or a directory of files, that several processes may create at the same time.

    When the context ends without an error, the result is flushed to the disk and renamed to ``path``. If another
    process has created ``path`` in the meantime, errors are ignored and the other result may be kept.

    Args:
        path: the final path; its parent directories are created.

    Yields:
        The path at which to create it. Its parent is a temporary directory, which may be used for other files and is
        deleted afterwards.

    Raises:
        OSError: it cannot be written, and no other process has created it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_directory(path.parent) as scratch:
        unfinished = scratch / path.name
        try:
            yield unfinished
            _flush(unfinished)
            _put_in_place(unfinished, path)
        except OSError:
            if not path.exists():
                raise


@contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """Create a temporary directory that only this user can use; it is deleted at the end of the context.

    Its name cannot be guessed. Those that killed processes left in the same parent are deleted after a day.

    Raises:
        OSError: it cannot be created.
    """
    _delete_old_temporaries(parent)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, or whatever is in its place, so that it is kept; return its new path.

    Raises:
        WriteError: it cannot be renamed.
    """
    names = (f"{path.name}.damaged" + (f"-{number}" if number > 1 else "") for number in itertools.count(1))
    renamed = next(other for other in map(path.with_name, names) if not os.path.lexists(other))
    try:
        path.rename(renamed)
    except OSError as error:
        raise cannot_write(path, error) from None
    return renamed


def make_directory(path: Path) -> None:
    """Create a directory, and its parents, and flush their names to the disk; it may exist.

    Raises:
        OSError: it cannot be created.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        _sync_directory(directory.parent)


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Return an error with the reason why a file of a run cannot be written, and the remedy."""
    reason = error.strerror or str(error)
    return WriteError(
        f"{path}: cannot be written: {reason}. Earlier saves are intact; "
        "free disk space or give another --out, and run the command again (charlm train with --resume).",
        reason,
    )


def _put_in_place(unfinished: Path, path: Path, former: Sequence[Path] = ()) -> None:
    """Rename what is flushed to the disk, and flush the names; with ``former``, keep earlier contents."""
    for newer, older in reversed(list(pairwise([path, *former]))):
        if newer.exists():
            newer.replace(older)
    unfinished.replace(path)
    _sync_directory(path.parent)


def _flush(unfinished: Path) -> None:
    """Flush a file, or a directory of files, to the disk."""
    for file in unfinished.iterdir() if unfinished.is_dir() else [unfinished]:
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())
    if unfinished.is_dir():
        _sync_directory(unfinished)


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":  # Windows cannot open a directory
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _delete_old_temporaries(directory: Path) -> None:
    for temporary in chain.from_iterable(directory.glob(pattern) for pattern in TEMPORARY_NAMES):
        with contextlib.suppress(OSError):  # another process may delete it at the same time
            status = temporary.lstat()
            is_own = os.name != "posix" or status.st_uid == os.geteuid()  # the parent may be shared, as /tmp is
            if not is_own or time.time() - status.st_mtime < MAX_TEMPORARY_AGE_S:
                continue
            if temporary.is_dir() and not temporary.is_symlink():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink()
