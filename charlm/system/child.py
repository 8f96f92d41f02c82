"""Processes that do one thing for this one, and end with it.

A child reads what to do from stdin, which stays open while it is wanted. When stdin is closed, or the parent process
has died, the child gets SIGTERM. Unlike ``multiprocessing``, this imports nothing of the user's program, and it is safe
in a process with threads.
"""

import contextlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, TypeVar

from charlm.system.signals import blocked_signals

PROGRAM = """
import pickle, sys
sys.path[:], work = pickle.load(sys.stdin.buffer)
from charlm.system.idle_threads import watch_idle_threads
from charlm.system.signals import end_at_signals, end_with_stdin
end_at_signals()
end_with_stdin()
watch_idle_threads()
function, argument = pickle.loads(work)
function(argument)
"""
"""What a child runs. It can be stopped before it imports what it needs, and finds modules where the parent does."""

Argument = TypeVar("Argument")


def start_child(
    function: Callable[[Argument], None],
    argument: Argument,
    title: str,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process that calls a function; close its stdin to end it.

    Args:
        function: of a module.
        argument: what it is called with.
        title: what lists of processes show.
        stdout: where its output goes; None for that of this process.
        stderr: the same for its messages.

    Raises:
        OSError: the process cannot be created.
    """
    work = memoryview(pickle.dumps((sys.path, pickle.dumps((function, argument)))))
    command = [sys.executable, "-P", "-c", PROGRAM, title]
    with blocked_signals():
        child = subprocess.Popen(  # noqa: S603
            command, bufsize=0, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr
        )
    with contextlib.suppress(BrokenPipeError):  # it may die before it has read what to do
        while work:  # a signal may interrupt a long write
            work = work[child.stdin.write(work) :]  # type: ignore[union-attr]
    return child


def describe_death(code: int) -> str:
    """Return how a process ended that could not say why."""
    return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
