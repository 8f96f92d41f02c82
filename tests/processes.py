"""Waiting for processes in tests: until a run trains, until a process group has ended."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory


def wait_until(is_so: Callable[[], bool], what: str = "") -> None:
    """Wait until a condition holds; after ten minutes the test fails, so that a busy machine is no failure."""
    deadline_s = time.monotonic() + 600
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def wait_for_training(directory: Path) -> int:
    """Wait until a run has logged a step, and return the ID of its process."""
    wait_until(lambda: bool(RunDirectory(directory).read_rows()))
    return int((directory / ".lock.pid").read_text().split()[0])


def assert_saved(directory: Path) -> None:
    """Fail unless the last step that was logged is saved; for a run that logs every step."""
    run = RunDirectory(directory)
    assert load_checkpoint(run.last_path).step == run.read_rows()[-1]["step"] > 0


def is_group_left(group: int) -> bool:
    """Return whether any process of a process group is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False
