"""Settings of the process."""

import subprocess
import sys
import threading

import pytest

from charlm import cli
from charlm.system.process import suppress_thread_os_errors


def test_freed_memory_is_kept_with_glibc() -> None:
    """On Linux with glibc freed memory is kept; elsewhere the call returns False."""
    check = (
        "import platform; from charlm.system.process import keep_freed_memory as keep; "
        "print(keep(), platform.libc_ver()[0])"
    )
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    is_kept, libc = output.rstrip("\n").split(" ")
    assert is_kept == str(sys.platform == "linux" and libc == "glibc")


@pytest.mark.parametrize(("error", "is_shown"), [(OSError(28, "no room"), False), (ValueError("no room"), True)])
def test_os_errors_in_threads_are_suppressed(
    error: Exception, is_shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback is printed for an OSError in a thread; for other errors it is."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    suppress_thread_os_errors()
    threading.excepthook(threading.ExceptHookArgs((type(error), error, None, None)))
    assert ("no room" in capsys.readouterr().err) is is_shown


def test_the_command_line_applies_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line applies all settings of the process before it runs a command."""
    called: list[str] = []
    names = ("open_standard_streams", "suppress_thread_os_errors", "watch_idle_threads", "keep_freed_memory")
    for name in names:
        monkeypatch.setattr(cli, name, lambda name=name: called.append(name))
    monkeypatch.setattr(cli, "run", lambda arguments: called.append("run") or 0)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert set(called[:-1]) == set(names)
    assert called[-1] == "run"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&1 1>&- | true"])
def test_messages_that_cannot_be_written_are_dropped(redirection: str) -> None:
    """A full disk or a closed pipe behind stderr is no error, also for long messages and at the exit."""
    program = (
        "from charlm.system.process import drop_lost_messages as drop; import os, sys; drop(); "
        "[print('x' * 100_000, file=sys.stderr) for _ in range(3)]; sys.stderr.write('y'); os.write(3, b'done')"
    )
    command = ["bash", "-c", f'{{ "$@" {redirection}; }} 3>&1', "bash", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done", "")
