"""Signals that end a process, as a flag that a loop polls, so that it can save before it ends."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Ctrl-C, the end of a batch job, and a closed terminal; Windows has no SIGHUP."""

MIN_REPEAT_S = 1.0
"""Seconds after which a further Ctrl-C is one of an impatient user, rather than the first one sent twice."""


@contextmanager
def catch_signals(on_first: Callable[[], None] = lambda: None) -> Iterator[Callable[[], int | None]]:
    """Within the context, record the first of ``STOP_SIGNALS``; a signal that the process ignores stays ignored.

    ``timeout`` and batch systems send a signal to a process and to its group, so it may arrive twice. Therefore
    further signals have no effect, except a Ctrl-C that is at least ``MIN_REPEAT_S`` later: it has its usual effect.

    Args:
        on_first: called at the first signal, in its handler.

    Yields:
        A function that returns the number of the recorded signal, or None. Outside the main thread, where Python
        allows no signal handlers, it always returns None.
    """
    caught: list[tuple[int, float]] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    previous = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def record(number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if not caught:
            caught.append((number, now_s))
            on_first()
        elif number == signal.SIGINT and now_s - caught[0][1] >= MIN_REPEAT_S:
            restore()
            signal.raise_signal(number)

    for number in previous:
        signal.signal(number, record)
    try:
        yield lambda: caught[0][0] if caught else None
    finally:
        restore()


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Block ``STOP_SIGNALS`` in this thread; a process that is started in the context begins with them blocked."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def end_at_signals() -> None:
    """Let ``STOP_SIGNALS`` end this process at once, Ctrl-C too; for a process started in ``blocked_signals``."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def end_with_stdin() -> None:
    """Send this process SIGTERM as soon as its stdin is closed, or the process at the other end has died."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # not by sys.stdin, whose lock would block the end of the process
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
