"""The process's share of the machine."""

import subprocess
import sys
import threading

import pytest

from charlm import cli
from charlm.system.process import hush_threads, wait_briefly


def test_memory_is_kept_where_the_c_library_can() -> None:
    """On Linux with glibc freed memory is kept; elsewhere the call says that it cannot."""
    check = (
        "import platform; from charlm.system.process import keep_freed_memory as keep; "
        "print(keep(), platform.libc_ver()[0])"
    )
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    is_kept, libc = output.rstrip("\n").split(" ")
    assert is_kept == str(sys.platform == "linux" and libc == "glibc")


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_wait_briefly(given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle threads sleep soon, unless the environment says otherwise."""
    environment = dict(given)
    monkeypatch.setattr("os.environ", environment)
    wait_briefly()
    assert environment.get("GOMP_SPINCOUNT") == expected


@pytest.mark.parametrize(("error", "is_shown"), [(OSError(28, "no room"), False), (ValueError("no room"), True)])
def test_threads_that_cannot_write_are_hushed(
    error: Exception, is_shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a thread that cannot write no traceback is shown, and of one that fails otherwise it is."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    hush_threads()
    threading.excepthook(threading.ExceptHookArgs((type(error), error, None, None)))
    assert ("no room" in capsys.readouterr().err) is is_shown


def test_the_command_line_sets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line keeps memory and waits briefly before it runs anything."""
    called: list[str] = []
    for name in ("open_standard_streams", "hush_threads", "wait_briefly", "keep_freed_memory"):
        monkeypatch.setattr(cli, name, lambda name=name: called.append(name))
    monkeypatch.setattr(cli, "run", lambda arguments: called.append("run") or 0)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert set(called[:-1]) == {"open_standard_streams", "hush_threads", "wait_briefly", "keep_freed_memory"}
    assert called[-1] == "run"
