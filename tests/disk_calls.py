"""The order in which files reach the disk: what is flushed, and what is renamed after it."""

import os
from pathlib import Path

import pytest


def record_flushes(monkeypatch: pytest.MonkeyPatch) -> dict[Path, set[int]]:
    """Return a dictionary that grows by each name that is put in place: the inodes that had been flushed by then."""
    flushed: set[int] = set()
    renamed: dict[Path, set[int]] = {}
    fsync, replace = os.fsync, Path.replace

    def note_flush(descriptor: int) -> None:
        fsync(descriptor)
        flushed.add(os.fstat(descriptor).st_ino)

    def note_rename(source: Path, target: Path) -> Path:
        renamed[target] = set(flushed)
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(Path, "replace", note_rename)
    return renamed
