"""The cache directory, for files that charlm can create again: encoded corpora and compiled kernels."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from charlm.errors import CharlmError
from charlm.system.reading import require_text_name


def cache_directory() -> Path:
    """Return ``$CHARLM_CACHE_DIR`` if it is set, else charlm's directory in the platform's user cache directory.

    For a user without a home directory it is a private directory in the system's temporary directory. The returned
    directory may not exist yet.

    Raises:
        InputError: the path is not valid UTF-8.
        CharlmError: there is no home directory, and other users can write to the directory for temporary files.
    """
    if named := os.environ.get("CHARLM_CACHE_DIR"):
        return require_text_name(Path(named))
    try:
        return require_text_name(platformdirs.user_cache_path("charlm", appauthor=False))
    except RuntimeError:  # the user has no home directory, which happens only on POSIX systems
        return _temporary_directory(os.geteuid())


def make_private(directory: Path) -> None:
    """Create a directory that only this user can use, or check that others cannot write to an existing one.

    Raises:
        CharlmError: it is not a directory, or others can write to it; the message gives the remedy.
        OSError: it cannot be created.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise cannot_use(directory, "it is not a directory")
    if is_changeable_by_others(status):
        raise cannot_use(directory, "other users can write to it")


def is_changeable_by_others(status: os.stat_result) -> bool:
    """Return whether another user can write to a file or directory; not known on Windows, where it is False."""
    return os.name == "posix" and (status.st_uid != os.geteuid() or bool(status.st_mode & 0o022))


def _temporary_directory(user: int) -> Path:
    """Return a directory that only this user can write to: charlm loads compiled libraries from it."""
    directory = Path(tempfile.gettempdir()) / f"charlm-{user}"
    try:
        make_private(directory)
    except OSError as error:
        raise cannot_use(directory, f"it cannot be created: {error.strerror}") from None
    return directory


def cannot_use(directory: Path, reason: str) -> CharlmError:
    """Return an error with the reason why a directory cannot be used as the cache, and the remedy."""
    return CharlmError(
        f"{directory}: cannot be used as the cache: {reason}. "
        "Set the environment variable CHARLM_CACHE_DIR to another directory."
    )
