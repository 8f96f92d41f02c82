"""Ctrl-C and SIGTERM as a flag that a loop polls, so that it can save before it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catch_signals() -> Iterator[Callable[[], int | None]]:
    """Within the context, record the first SIGINT or SIGTERM; the previous handlers are restored for the second one.

    Yields:
        A function that returns the number of the received signal, or None. Outside the main thread, where Python
        allows no signal handlers, it always returns None.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    watched = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in watched}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def record(number: int, _: FrameType | None) -> None:
        caught.append(number)
        restore()

    for number in watched:
        signal.signal(number, record)
    try:
        yield lambda: caught[0] if caught else None
    finally:
        restore()
