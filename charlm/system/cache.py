"""The cache directory, for files that charlm can create again: encoded corpora and compiled kernels."""

import os
import tempfile
from pathlib import Path

import platformdirs

from charlm.errors import CharlmError


def cache_directory() -> Path:
    """Return ``$CHARLM_CACHE_DIR`` if it is set, else charlm's directory in the platform's user cache directory.

    For a user without a home directory it is a private directory in the system's temporary directory. The returned
    directory may not exist yet.

    Raises:
        CharlmError: there is no home directory, and other users can write to the directory for temporary files.
    """
    if named := os.environ.get("CHARLM_CACHE_DIR"):
        return Path(named)
    try:
        return platformdirs.user_cache_path("charlm", appauthor=False)
    except RuntimeError:  # the user has no home directory, which happens only on POSIX systems
        return _temporary_directory(os.getuid())


def _temporary_directory(user: int) -> Path:
    """Return a directory that only this user can write to: charlm loads compiled libraries from it."""
    directory = Path(tempfile.gettempdir()) / f"charlm-{user}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise _cannot_use(directory, f"cannot be created: {error.strerror}") from None
    if status.st_uid != user or status.st_mode & 0o022:
        raise _cannot_use(directory, "other users can write to it")
    return directory


def _cannot_use(directory: Path, reason: str) -> CharlmError:
    return CharlmError(
        f"{directory}: cannot be used as the cache: {reason}. "
        "Set the environment variable CHARLM_CACHE_DIR to another directory."
    )
