"""Where charlm keeps what it can make again: built kernels, encoded corpora."""

import os
import sys
import tempfile
from pathlib import Path


def cache_directory() -> Path:
    """Return ``$CHARLM_CACHE_DIR``, else charlm's place in the platform's user cache; it may not exist yet.

    Where the user has no home the directory for temporary files stands in.
    """
    chosen = os.environ.get("CHARLM_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "charlm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "charlm"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "charlm"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "charlm"
