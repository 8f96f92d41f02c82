"""Where charlm keeps what it can make again: encoded corpora and built kernels."""

import os
import sys
import tempfile
from pathlib import Path


def cache_directory() -> Path:
    """Return ``$CHARLM_CACHE_DIR``, else charlm's folder in the platform's user cache directory.

    Without a home directory it lies in the directory for temporary files. It may not exist yet.
    """
    named = os.environ.get("CHARLM_CACHE_DIR")
    return Path(named) if named else _user_cache_directory() / "charlm"


def _user_cache_directory() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
