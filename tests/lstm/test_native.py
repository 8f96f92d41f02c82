"""The build of the C kernels: the search for a compiler, the cache, failures reported in one line, sanitizers."""

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import amx
import pytest
import torch
from disk_calls import record_flushes
from tolerances import PARITY, assert_near

from charlm.errors import InputError
from charlm.lstm import LSTMState
from charlm.lstm.kernels import choose_kernel, native, reference

try:
    COMPILER = native.find_compiler()
except native.BuildError as reason:
    COMPILER = []
    NO_COMPILER = f"THE BUILD IS NOT TESTED: {reason}"
else:
    NO_COMPILER = ""

needs_compiler = pytest.mark.skipif(not COMPILER, reason=NO_COMPILER)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources, with an empty cache and, for speed, one instruction set."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "INSTRUCTION_SETS", {"portable": ()})
    return Path(shutil.copytree(native.SOURCES, tmp_path / "sources"))


@pytest.fixture
def _fresh_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    cached = (choose_kernel, native.fastest_instruction_set, native.load_library)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def write_compiler(directory: Path, script: str) -> str:
    """Write a shell script that acts as the compiler, and return its path."""
    path = directory / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@needs_compiler
def test_a_changed_source_changes_the_library_name(sources: Path) -> None:
    """The library's name depends on the content of the sources and headers."""
    before = native.cached_library(COMPILER, sources)
    header = sources / "vector.h"
    header.write_text(header.read_text(encoding="utf-8") + "\n/* changed */\n", encoding="utf-8")
    assert native.cached_library(COMPILER, sources) != before


@needs_compiler
def test_changed_flags_change_the_library_name(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's name depends on the flags."""
    before = native.cached_library(COMPILER, sources)
    monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, "-g"))
    assert native.cached_library(COMPILER, sources) != before


@needs_compiler
def test_concurrent_builds_leave_one_complete_library(sources: Path) -> None:
    """Concurrent builds of one library all succeed and leave a loadable library and no temporary files."""
    path = native.cached_library(COMPILER, sources)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: native.compile_library(COMPILER, sources, path), range(3)))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert ctypes.CDLL(str(path)).lstm_runs_portable() == 1


@needs_compiler
def test_the_library_is_flushed_before_it_is_renamed(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is flushed to disk before it gets its final name, so a power failure cannot leave it empty."""
    path = native.cached_library(COMPILER, sources)
    renamed = record_flushes(monkeypatch)
    native.compile_library(COMPILER, sources, path)
    assert path.stat().st_ino in renamed[path]


@needs_compiler
def test_a_failed_build_leaves_nothing(sources: Path) -> None:
    """A source that does not compile gives a one-line error, and the cache stays empty."""
    (sources / "lookup.c").write_text("int broken(", encoding="utf-8")
    path = native.cached_library(COMPILER, sources)
    with pytest.raises(native.BuildError, match=r"failed: .*error") as raised:
        native.compile_library(COMPILER, sources, path)
    assert "\n" not in str(raised.value)
    assert list(path.parent.iterdir()) == []


@pytest.mark.usefixtures("_fresh_choice")
def test_auto_falls_back_to_the_reference_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a compiler ``auto`` falls back with a note, and the error of ``cpu`` says what to install."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    kernel = choose_kernel("auto")
    assert (kernel.name, kernel.note) == ("reference", "no C compiler was found; install gcc or clang")
    with pytest.raises(InputError, match="install gcc or clang"):
        choose_kernel("cpu")


@pytest.mark.usefixtures("_fresh_choice")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "exit status 3"),
        ('[ "$1" = --version ] && exit 0; echo "x.c:1: error: it broke" >&2; exit 1', "error: it broke"),
        ("exit 0", "cannot be stored or loaded"),
    ],
    ids=["no version", "every source fails", "writes nothing"],
)
def test_a_broken_compiler_is_reported_in_one_line(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the compiler fails in any way, ``auto`` falls back with a one-line note that gives the failure."""
    monkeypatch.setenv("CC", write_compiler(tmp_path, script))
    kernel = choose_kernel("auto")
    assert kernel.name == "reference"
    assert message in kernel.note
    assert "\n" not in kernel.note


@pytest.mark.usefixtures("_fresh_choice")
def test_a_compiler_named_by_cc_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """If ``CC`` names no existing compiler, no other compiler is used silently."""
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler" in choose_kernel("auto").note


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
def test_an_unwritable_cache_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the cache directory cannot be created, ``auto`` falls back to the reference with a note."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "file"))
    assert "cannot be stored or loaded" in choose_kernel("auto").note


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
def test_a_compiler_without_openmp_builds_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the compiler lacks OpenMP the kernels are built for one thread, which also computes a single row alone."""
    monkeypatch.setattr(native, "INSTRUCTION_SETS", {"portable": ()})
    script = f'case "$*" in *-fopenmp*) echo "error: no OpenMP" >&2; exit 1;; esac; exec {shlex.join(COMPILER)} "$@"'
    monkeypatch.setenv("CC", write_compiler(tmp_path, script))
    kernel = choose_kernel("cpu")
    assert kernel.note == "portable"
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    arguments = torch.randn(3, 1, 800), torch.randn(800, 200) / 14, LSTMState(*torch.zeros(2, 1, 200))
    hidden, _ = kernel.lstm_sequence(*arguments)
    torch.set_num_threads(num_threads)
    assert_near(hidden, reference.lstm_sequence(*arguments)[0], PARITY[torch.float32])


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
def test_a_compiler_without_amx_builds_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction set is left out if the compiler rejects its flags, and the others are built."""
    monkeypatch.setattr(native, "INSTRUCTION_SETS", {"amx": ("-mamx-tile",), "portable": ()})
    script = (
        f'case "$*" in *-mamx*) echo "error: unrecognized option" >&2; exit 1;; esac; exec {shlex.join(COMPILER)} "$@"'
    )
    monkeypatch.setenv("CC", write_compiler(tmp_path, script))
    assert choose_kernel("cpu").note == "portable"
    assert not hasattr(native.load_library(), "lstm_forward_amx")


@needs_compiler
def test_amx_is_available_only_with_hardware_support() -> None:
    """The instruction set amx is not available on a processor without AMX, even while it is emulated."""
    if "amx" in native.available_instruction_sets():
        assert "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


@needs_compiler
@pytest.mark.parametrize("name", list(native.INSTRUCTION_SETS))
def test_bf16_is_fast_only_with_bfloat16_instructions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``is_bf16_fast`` is true exactly for the instruction sets with bfloat16 multiplication."""
    monkeypatch.setattr(native, "fastest_instruction_set", lambda: name)
    kernel = choose_kernel.__wrapped__("cpu")
    assert (kernel.note, kernel.is_bf16_fast) == (name, name in {"amx", "avx512_bf16"})


def test_importing_builds_nothing(tmp_path: Path) -> None:
    """Importing the kernels neither runs a compiler nor creates the cache."""
    environment = os.environ | {"CHARLM_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", "import charlm.lstm.kernels"], check=True, env=environment)
    assert not (tmp_path / "cache").exists()


@needs_compiler
@pytest.mark.parametrize("name", list(native.INSTRUCTION_SETS))
def test_sanitizers_find_nothing(name: str, tmp_path: Path) -> None:
    """AddressSanitizer and UBSan find no error in any kernel, at odd sizes and with arrays of the exact size."""
    sources = [native.SOURCES / source for source in ("processor.c", *native.KERNEL_SOURCES)]
    sources.append(Path(__file__).with_name("sanitize_kernels.c"))
    if name not in native.available_instruction_sets():
        reason = amx.why_not() if name == "amx" else "this processor does not have it"
        if reason:
            pytest.skip(f"THE PATH {name} IS NOT SANITIZED: {reason}")
        sources.append(amx.EMULATION)  # so that the memory accesses of tiles are checked too
    program = tmp_path / "sanitized"
    sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    built = subprocess.run(
        [
            *COMPILER, "-std=c11", *sanitizers, *native.INSTRUCTION_SETS[name], f"-DLSTM_PATH={name}",
            f"-I{native.SOURCES}", *map(str, sources), "-o", str(program), "-lm",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if built.returncode != 0 and "san" in built.stderr:
        pytest.skip("THE KERNELS ARE NOT SANITIZED: the compiler has no sanitizer libraries")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
