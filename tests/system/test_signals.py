"""Signals become a question that a loop asks."""

import os
import signal
import threading

import pytest

from charlm.system.signals import catch_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted(number: int) -> None:
    """The first signal is noted, and the former handlers are back for a second."""
    before = signal.getsignal(number)
    with catch_signals() as caught:
        assert caught() is None
        os.kill(os.getpid(), number)
        assert caught() == number
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_handlers_are_restored_without_a_signal() -> None:
    """Leaving the context restores what was there."""
    before = signal.getsignal(signal.SIGINT)
    with catch_signals():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_have_no_signals() -> None:
    """Outside the main thread nothing is caught and nothing fails."""
    answers: list[int | None] = []

    def work() -> None:
        with catch_signals() as caught:
            answers.append(caught())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [None]
