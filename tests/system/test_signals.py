"""Signals as a flag that a loop polls."""

import os
import signal
import threading

import pytest

from charlm.system.signals import catch_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_recorded(number: int) -> None:
    """The first signal is recorded, and the previous handlers are restored for a second one."""
    before = signal.getsignal(number)
    with catch_signals() as caught:
        assert caught() is None
        os.kill(os.getpid(), number)
        assert caught() == number
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_handlers_are_restored_without_a_signal() -> None:
    """Leaving the context restores the previous handlers."""
    before = signal.getsignal(signal.SIGINT)
    with catch_signals():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_catch_no_signals() -> None:
    """Outside the main thread no signal is caught, and there is no error."""
    answers: list[int | None] = []

    def work() -> None:
        with catch_signals() as caught:
            answers.append(caught())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [None]
