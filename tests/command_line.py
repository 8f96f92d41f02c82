"""Running charlm commands in tests."""

import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


CharlmCommand = Callable[..., Outcome]


def assert_mistake(outcome: Outcome, *parts: str) -> None:
    """Fail unless the command refused its input with one clear message and printed nothing else."""
    assert outcome.status == 2
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert outcome.err.startswith(("Error: ", "Usage: "))
    for part in parts:
        assert part in outcome.err


def in_subprocess(*arguments: object, **options: object) -> "subprocess.Popen[str]":
    """Start charlm as a process of its own."""
    command = [sys.executable, "-m", "charlm", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **(pipes | options))  # type: ignore[call-overload,no-any-return]
