"""Pseudo-terminals in tests."""

import os
from typing import Any


def drain(descriptor: int) -> str:
    """Return what was written to a terminal that is closed."""
    parts: list[Any] = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    os.close(descriptor)
    return b"".join(parts).decode()
