"""Where charlm keeps what it can make again: encoded corpora and built kernels."""

import os
import tempfile
from pathlib import Path

import platformdirs

from charlm.errors import CharlmError


def cache_directory() -> Path:
    """Return ``$CHARLM_CACHE_DIR``, else charlm's folder in the platform's user cache directory.

    Without a home directory it is a folder of this user alone among the temporary files. It may not exist yet.

    Raises:
        CharlmError: there is no home directory, and the folder among the temporary files is another user's.
    """
    if named := os.environ.get("CHARLM_CACHE_DIR"):
        return Path(named)
    try:
        return platformdirs.user_cache_path("charlm", appauthor=False)
    except RuntimeError:  # the user has no home directory, which occurs on POSIX systems alone
        return _temporary_directory(os.getuid())


def _temporary_directory(user: int) -> Path:
    """Return a folder that no other user can write to, where a library could be put for this user to run."""
    directory = Path(tempfile.gettempdir()) / f"charlm-{user}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise _cannot_use(directory, f"cannot be made: {error.strerror}") from None
    if status.st_uid != user or status.st_mode & 0o022:
        raise _cannot_use(directory, "other users can write to it")
    return directory


def _cannot_use(directory: Path, reason: str) -> CharlmError:
    return CharlmError(
        f"{directory}: cannot be the cache: {reason}. "
        "Name another directory by the environment variable CHARLM_CACHE_DIR."
    )
