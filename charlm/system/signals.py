"""Ctrl-C and SIGTERM as a question that a loop asks, so that it can save before it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def catch_signals() -> Iterator[Callable[[], int | None]]:
    """Within the context, note the first Ctrl-C or SIGTERM instead of dying of it; a second one kills as ever.

    Yields:
        A function that returns the number of the signal that came, or None. Outside the main thread, where Python
        handles no signals, it always returns None.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    watched = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.getsignal(number) for number in watched}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)
        restore()

    for number in watched:
        signal.signal(number, note)
    try:
        yield lambda: caught[0] if caught else None
    finally:
        restore()
