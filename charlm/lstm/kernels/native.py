"""Builds the C kernels once with the compiler of this machine, and loads them.

The library is stored in the cache directory. Its file name contains a hash of the sources, the compiler and the flags.
The library contains the kernels compiled for each instruction set of the architecture that the compiler supports. The
processor is checked at run time, so that a library that was built on another machine executes no illegal instruction.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence as Arguments
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from charlm.errors import CharlmError
from charlm.system.cache import cache_directory
from charlm.system.files import create_atomically

SOURCES = Path(__file__).parent / "csrc"

KERNEL_SOURCES = ("forward.c", "backward.c", "lookup.c", "gradient.c")
"""Compiled once for each instruction set. The headers are included by these; processor.c is compiled only once."""

X86_AVX2 = ("-mavx2", "-mfma")
X86_AVX512 = (*X86_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mprefer-vector-width=512")

INSTRUCTION_SETS: dict[str, tuple[str, ...]] = {"portable": ()}
"""The compiler flags of each instruction set of this architecture, from fastest to slowest."""
if platform.machine() in {"x86_64", "AMD64"}:
    INSTRUCTION_SETS = {
        "amx": (*X86_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"),
        "avx512_bf16": (*X86_AVX512, "-mavx512bf16"),
        "avx512": X86_AVX512,
        "avx2": X86_AVX2,
        "portable": (),
    }

FAST_BF16 = frozenset({"amx", "avx512_bf16"})
"""The instruction sets with bfloat16 multiplication."""

# Contraction into fused multiply-adds changes only the rounding. The other "fast math" flags break NaN.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fPIC")
THREADS = ("-fopenmp",)


class BuildError(CharlmError):
    """The kernels cannot be built on this machine; the message gives the reason in one line."""


class Sequence(ctypes.Structure):
    """The arguments of the kernels; csrc/lstm.h describes them in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("T", "B", "H", "num_threads", "is_bf16")),
        *((name, ctypes.c_void_p) for name in ("weight_hh", "gates_x", "ids", "h_first", "c_first")),
        *((name, ctypes.c_void_p) for name in ("hidden", "gates", "cells", "h_last", "c_last")),
        *((name, ctypes.c_void_p) for name in ("grad_hidden", "grad_h_last", "grad_c_last")),
        *((name, ctypes.c_void_p) for name in ("grad_gates_x", "grad_h_first", "grad_c_first")),
    ]


def find_compiler() -> list[str]:
    """Return the command of the C compiler: ``$CC`` if it is set, else the first of cc, gcc and clang that exists.

    Raises:
        BuildError: no compiler was found.
    """
    chosen = os.environ.get("CC")
    for command in [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if command and shutil.which(command[0]):
            return command
    missing = f"the C compiler {chosen!r}, set by CC, was not found" if chosen else "no C compiler was found"
    raise BuildError(f"{missing}; install gcc or clang")


def run(command: Arguments[str]) -> str:
    """Run a compiler command and return its output.

    Raises:
        BuildError: the command failed; the message quotes its first error.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the C compiler {command[0]} did not run: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise BuildError(f"the C compiler {command[0]} failed: {first.strip()}")
    return done.stdout


def cached_library(compiler: Arguments[str], sources: Path) -> Path:
    """Return the path of the library for these sources, this compiler and these flags."""
    identity = hashlib.sha256(run([*compiler, "--version"]).encode())
    identity.update(repr((list(compiler), FLAGS, THREADS, INSTRUCTION_SETS, platform.machine())).encode())
    for source in sorted(sources.iterdir()):
        identity.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache_directory() / "kernels" / f"lstm-{identity.hexdigest()[:20]}.so"


def compile_library(compiler: Arguments[str], sources: Path, output: Path) -> None:
    """Compile the kernels once for each instruction set and link them into ``output``.

    Other processes never see a partial library. They may build the same library at the same time.

    Raises:
        BuildError: the compiler fails.
        OSError: the library cannot be written.
    """
    with create_atomically(output) as library:
        try:
            compile_objects([*compiler, *FLAGS, *THREADS], sources, library)
        except BuildError:  # some compilers lack OpenMP; then the kernels run on one thread
            compile_objects([*compiler, *FLAGS], sources, library)


def compile_objects(command: Arguments[str], sources: Path, library: Path) -> None:
    """Compile in parallel and link, with one compiler command and its flags.

    The object files are written to the library's directory. An instruction set is left out if the compiler does not
    support its flags.
    """
    objects = [str(library.parent / "processor.o")]
    commands = [[*command, "-c", str(sources / "processor.c"), "-o", objects[0]]]
    for name, flags in INSTRUCTION_SETS.items():
        if flags and not accepts([*command, *flags]):
            continue
        for source in KERNEL_SOURCES:
            objects.append(str(library.parent / f"{name}-{source}.o"))
            commands.append([*command, *flags, f"-DLSTM_PATH={name}", "-c", str(sources / source), "-o", objects[-1]])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, commands))
    run([*command, "-shared", *objects, "-o", str(library)])


def accepts(command: Arguments[str]) -> bool:
    """Return whether the compiler accepts its flags, by preprocessing an empty file."""
    try:
        run([*command, "-E", "-x", "c", os.devnull])
    except BuildError:
        return False
    return True


@functools.cache
def fastest_instruction_set() -> str:
    """Return the fastest instruction set of this processor; builds the kernels if necessary.

    Raises:
        BuildError: the kernels cannot be built or loaded.
    """
    return available_instruction_sets()[0]


@functools.cache
def load_library() -> ctypes.CDLL:
    """Return the library of the kernels; builds it if the cache has none for this compiler and these sources.

    Raises:
        BuildError: the kernels cannot be built or loaded.
    """
    try:
        compiler = find_compiler()
        path = cached_library(compiler, SOURCES)
        if not path.exists():
            compile_library(compiler, SOURCES, path)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise BuildError(f"the compiled kernels cannot be stored or loaded: {error}") from error


def available_instruction_sets() -> list[str]:
    """Return the instruction sets of this processor, from fastest to slowest; builds the kernels if necessary.

    Raises:
        BuildError: the kernels cannot be built or loaded.
    """
    library = load_library()
    built = [name for name in INSTRUCTION_SETS if hasattr(library, f"lstm_forward_{name}")]
    return [name for name in built if getattr(library, f"lstm_runs_{name}")()]
