"""The build of the C kernels: the search for a compiler, and compilers that fail, hang, lie or die."""

import _ctypes
import os
import signal
import time
from pathlib import Path

import pytest
from c_compiler import COMPILER, needs_compiler, write_compiler

from charlm.errors import InputError
from charlm.lstm.kernels import choose_kernel, compiler

WRITE_OUTPUT = """
is_output=
for argument; do [ "$is_output" ] && exec > "$argument"; [ "$argument" = -o ] && is_output=1 || is_output=; done
"""
"""Start of a script: what it prints then goes to the file after ``-o``, if there is one."""


def wait_for_end(process_id: int) -> None:
    """Wait until a process has ended and its parent has noticed."""
    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(process_id, 0)
            time.sleep(0.05)


@needs_compiler
def test_a_changed_source_changes_the_identity(sources: Path) -> None:
    """The identity of a library depends on the content of the sources and headers."""
    before = compiler.identify_library(COMPILER, sources)
    header = sources / "vector.h"
    header.write_text(header.read_text(encoding="utf-8") + "\n/* changed */\n", encoding="utf-8")
    assert compiler.identify_library(COMPILER, sources) != before


@needs_compiler
def test_changed_flags_change_the_identity(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity of a library depends on the flags."""
    before = compiler.identify_library(COMPILER, sources)
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-g"))
    assert compiler.identify_library(COMPILER, sources) != before


@needs_compiler
def test_a_source_that_does_not_compile_gives_one_line(sources: Path, tmp_path: Path) -> None:
    """A source that does not compile gives a one-line error."""
    (sources / "lookup.c").write_text("int broken(", encoding="utf-8")
    with pytest.raises(compiler.BuildError, match=r"failed: .*error") as raised:
        compiler.compile_library(COMPILER, sources, tmp_path / "lstm.so")
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("_fresh_choice")
def test_auto_falls_back_to_torch_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler ``auto`` falls back with a note, and the error of ``cpu`` says what to install."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    kernel = choose_kernel("auto")
    assert (kernel.name, kernel.note) == ("torch", "no C compiler was found; install gcc or clang")
    with pytest.raises(InputError, match="install gcc or clang"):
        choose_kernel("cpu")


@pytest.mark.usefixtures("_fresh_choice")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "exit status 3"),
        ('[ "$1" = --version ] && exit 0; echo "x.c:1: error: it broke" >&2; exit 1', "error: it broke"),
        ("exit 0", "reported success but wrote no library"),
        ('exec cat "$@"', "failed: "),
        (f"{WRITE_OUTPUT}head -c 9999 /dev/zero", "cannot be loaded: invalid ELF header"),
        (f"{WRITE_OUTPUT}cat {_ctypes.__file__}", "cannot be loaded: it does not contain the kernels"),
        ('[ "$1" = --version ] && exit 0; kill -KILL $$', "was ended by SIGKILL"),
    ],
    ids=["no version", "every source fails", "true", "cat", "writes a text", "writes another library", "dies"],
)
def test_a_broken_compiler_is_reported_in_one_line(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the compiler fails in any way, ``auto`` falls back with a one-line note that gives the failure."""
    monkeypatch.setenv("CC", write_compiler(tmp_path, script))
    kernel = choose_kernel("auto")
    assert kernel.name == "torch"
    assert message in kernel.note
    assert "\n" not in kernel.note
    assert list(tmp_path.glob("cache/**/*.so")) == []


@pytest.mark.usefixtures("_fresh_choice")
def test_a_compiler_named_by_cc_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """If ``CC`` names no existing compiler, no other compiler is used silently."""
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler" in choose_kernel("auto").note


@pytest.mark.usefixtures("_fresh_choice")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [("--version", "did not end in time"), ("-E", "wrote no library"), ("-c", "did not end in time")],
)
def test_a_compiler_that_hangs_is_ended(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that does not end in time is killed with the processes that it started, and the reason is given."""
    monkeypatch.setattr(compiler, "VERSION_TIMEOUT_S", 0.3)
    monkeypatch.setattr(compiler, "BUILD_TIMEOUT_S", 0.6)
    child = tmp_path / "child"
    hang = f"sleep 600 & echo $! > {child}; wait"
    monkeypatch.setenv("CC", write_compiler(tmp_path, f'case "$*" in *"{arguments}"*) {hang};; esac'))
    assert message in choose_kernel("auto").note
    wait_for_end(int(child.read_text()))


@pytest.mark.usefixtures("_fresh_choice")
@pytest.mark.parametrize("arguments", ["--version", "-c"])
def test_ctrl_c_ends_the_compiler(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during the build ends the compilers, which the terminal's signal does not reach, and does not wait."""
    process = tmp_path / "process"
    hang = f"if mkdir {tmp_path}/first; then kill -INT {os.getpid()}; fi; echo $$ > {process}; exec sleep 600"
    monkeypatch.setenv("CC", write_compiler(tmp_path, f'case "$*" in *"{arguments}"*) {hang};; esac'))
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    with pytest.raises(KeyboardInterrupt):
        choose_kernel("auto")
    signal.signal(signal.SIGINT, handler)
    if process.exists():
        wait_for_end(int(process.read_text()))


@pytest.mark.usefixtures("_fresh_choice")
def test_an_unreadable_cc_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quotation mark without its partner in ``CC`` is no traceback."""
    monkeypatch.setenv("CC", 'gcc "')
    assert "cannot be read as a command: No closing quotation" in choose_kernel("auto").note
