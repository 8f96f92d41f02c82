"""The library of the C kernels as it is loaded: damaged, refused and unwritable caches, sanitizers."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import amx
import pytest
import torch
from c_compiler import COMPILER, needs_compiler, write_compiler
from tolerances import PARITY, assert_near

from charlm.lstm import LSTMState
from charlm.lstm.kernels import choose_kernel, compiler, cpu, native, reference


def load_anew() -> str:
    """Load the library as a new process would; return the name of its fastest instruction set."""
    for function in (choose_kernel, native.fastest_instruction_set, native.load_library):
        function.cache_clear()
    return choose_kernel("cpu").note


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
@pytest.mark.parametrize("content", [b"", b"\x7fELF", None], ids=["empty", "not a library", "cut short"])
def test_a_damaged_library_is_built_again(content: bytes | None, tmp_path: Path, fast_build: list[int]) -> None:
    """A damaged library in the cache is replaced by a new one, with one warning, and the next start says nothing."""
    assert load_anew() == "portable"
    (path,) = tmp_path.glob("cache/kernels/*")
    intact = path.read_bytes()
    path.write_bytes(intact[:5000] if content is None else content)
    with pytest.warns(RuntimeWarning, match=r"damaged, its checksum is wrong; the kernels are built again\.$"):
        assert load_anew() == "portable"
    assert load_anew() == "portable"
    assert path.read_bytes() == intact
    assert len(fast_build) == 2


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
def test_a_store_of_others_is_told(tmp_path: Path, fast_build: list[int]) -> None:
    """Where others can write to the directory of the kernels, they are built for one process, with one warning."""
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    (tmp_path / "cache" / "kernels").chmod(0o777)
    for number in (1, 2):
        with pytest.warns(RuntimeWarning, match="for this process alone: .*other users can write to it") as warned:
            assert load_anew() == "portable"
        assert (len(warned), len(fast_build)) == (1, number)
    assert list(tmp_path.glob("cache/kernels/*")) == []


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice", "fast_build")
@pytest.mark.parametrize("place", ["file", "/proc/charlm", "/dev/null"])
def test_an_unwritable_cache_is_told(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the cache directory cannot be created, the kernels are built for one process, with one warning."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / place))
    with pytest.warns(
        RuntimeWarning, match=r"for this process alone: .*kernels: cannot be used as the cache: .*CHARLM_CACHE_DIR"
    ) as warned:
        assert load_anew() == "portable"
    assert len(warned) == 1


@pytest.mark.usefixtures("_fresh_choice")
def test_a_build_without_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the directory for temporary files cannot be written, ``auto`` falls back with a note."""
    monkeypatch.setenv("CC", write_compiler(tmp_path, "exit 0"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert "missing: the kernels cannot be built there: No such file" in choose_kernel("auto").note


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
def test_a_compiler_without_openmp_builds_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the compiler lacks OpenMP the kernels are built for one thread, which also computes a single row alone."""
    monkeypatch.setattr(compiler, "INSTRUCTION_SETS", {"portable": ()})
    script = f'case "$*" in *-fopenmp*) echo "error: no OpenMP" >&2; exit 1;; esac; exec {shlex.join(COMPILER)} "$@"'
    monkeypatch.setenv("CC", write_compiler(tmp_path, script))
    kernel = choose_kernel("cpu")
    assert kernel.note == "portable"
    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    arguments = torch.randn(3, 1, 800), torch.randn(800, 200) / 14, LSTMState(*torch.zeros(2, 1, 200))
    hidden, _ = cpu.lstm_sequence(*arguments)
    torch.set_num_threads(num_threads)
    assert_near(hidden, reference.lstm_sequence(*arguments)[0], PARITY[torch.float32])


@needs_compiler
@pytest.mark.usefixtures("_fresh_choice")
def test_a_compiler_without_amx_builds_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction set is left out if the compiler rejects its flags, and the others are built."""
    monkeypatch.setattr(compiler, "INSTRUCTION_SETS", {"amx": ("-mamx-tile",), "portable": ()})
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
@pytest.mark.parametrize("name", list(compiler.INSTRUCTION_SETS))
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
@pytest.mark.parametrize("name", list(compiler.INSTRUCTION_SETS))
def test_sanitizers_find_nothing(name: str, tmp_path: Path) -> None:
    """AddressSanitizer and UBSan find no error in any kernel, at odd sizes and with arrays of the exact size."""
    sources = [compiler.SOURCES / source for source in ("processor.c", *compiler.KERNEL_SOURCES)]
    sources.append(Path(__file__).with_name("run_kernels.c"))
    if name not in native.available_instruction_sets():
        reason = amx.why_not() if name == "amx" else "this processor does not have it"
        if reason:
            pytest.skip(f"THE PATH {name} IS NOT SANITIZED: {reason}")
        sources.append(amx.EMULATION)  # so that the memory accesses of tiles are checked too
    program = tmp_path / "sanitized"
    sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    built = subprocess.run(
        [
            *COMPILER, "-std=c11", *sanitizers, *compiler.INSTRUCTION_SETS[name], f"-DLSTM_PATH={name}",
            f"-I{compiler.SOURCES}", *map(str, sources), "-o", str(program), "-lm",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if built.returncode != 0 and "san" in built.stderr:
        pytest.skip("THE KERNELS ARE NOT SANITIZED: the compiler has no sanitizer libraries")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program), os.devnull], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
