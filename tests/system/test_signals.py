"""Signals as a flag that a loop polls."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from charlm.system.signals import STOP_SIGNALS, blocked_signals, catch_signals


@pytest.fixture(autouse=True)
def _usual_handlers() -> Iterator[None]:
    """Start with the handlers of a command in a terminal; a background job starts with SIGINT ignored."""
    former = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_first_signal_is_recorded(number: int) -> None:
    """The first signal is recorded and calls the function; all handlers are restored at the end of the context."""
    before = signal.getsignal(number)
    calls: list[int] = []
    with catch_signals(lambda: calls.append(1)) as caught:
        assert caught() is None
        os.kill(os.getpid(), number)
        assert caught() == number
        os.kill(os.getpid(), signal.SIGTERM)
        assert caught() == number
    assert calls == [1]
    assert signal.getsignal(number) is before


def test_handlers_are_restored_without_a_signal() -> None:
    """Leaving the context restores the previous handlers."""
    before = signal.getsignal(signal.SIGINT)
    with catch_signals():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_sent_twice_counts_once() -> None:
    """Ctrl-C that arrives twice at once, as from a wrapper that passes it on, does not end the process."""
    with catch_signals() as caught:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert caught() == signal.SIGINT


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_later_interrupt_has_its_usual_effect(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """A second Ctrl-C, some time after the first signal, ends the process at once."""
    monkeypatch.setattr("charlm.system.signals.MIN_REPEAT_S", 0.0)
    with catch_signals():
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_ignored_signals_stay_ignored(number: int) -> None:
    """A signal that the process ignores, as after nohup, is not recorded."""
    signal.signal(number, signal.SIG_IGN)
    with catch_signals() as caught:
        os.kill(os.getpid(), number)
        assert caught() is None
    assert signal.getsignal(number) is signal.SIG_IGN


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


CHILD = """
import sys
input()
from charlm.system.signals import end_at_signals
print("not yet", flush=True)
end_at_signals()
print("too late")
"""


def test_a_new_process_is_ended_quietly() -> None:
    """Ctrl-C that reaches a process while it starts is kept until the process is ready, and prints no traceback."""
    with blocked_signals():
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(b"\n", timeout=60)
    assert (process.returncode, said) == (-signal.SIGINT, b"not yet\n")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
