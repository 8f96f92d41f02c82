"""Builds the C kernels with the compiler of this machine, once, and loads them.

The library is kept in the cache directory under a name that changes with the sources, the compiler and the flags. It
holds one compilation of the kernels for each instruction set of the architecture that the compiler knows; which of them
run is asked of the processor every time, so that a library built on another machine never meets an illegal instruction.
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
"""Compiled once for each instruction set; the rest is included by them or compiled once."""

X86_AVX2 = ("-mavx2", "-mfma")
X86_AVX512 = (*X86_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mprefer-vector-width=512")

INSTRUCTION_SETS: dict[str, tuple[str, ...]] = {"portable": ()}
"""The compiler flags of each instruction set of this architecture, the fastest first."""
if platform.machine() in {"x86_64", "AMD64"}:
    INSTRUCTION_SETS = {
        "amx": (*X86_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"),
        "avx512_bf16": (*X86_AVX512, "-mavx512bf16"),
        "avx512": X86_AVX512,
        "avx2": X86_AVX2,
        "portable": (),
    }

FAST_BF16 = frozenset({"amx", "avx512_bf16"})
"""The instruction sets that multiply bfloat16."""

# Contraction into multiply-adds changes the last bit, never the meaning; nothing else of "fast math" is safe for NaN.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fPIC")
THREADS = ("-fopenmp",)


class BuildError(CharlmError):
    """The kernels cannot be built here; the message says why and what to install, in one line."""


class Sequence(ctypes.Structure):
    """The arguments of the kernels; csrc/lstm.h says what each one holds, in this order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("T", "B", "H", "num_threads", "is_bf16")),
        *((name, ctypes.c_void_p) for name in ("weight_hh", "gates_x", "ids", "h_first", "c_first")),
        *((name, ctypes.c_void_p) for name in ("hidden", "gates", "cells", "h_last", "c_last")),
        *((name, ctypes.c_void_p) for name in ("grad_hidden", "grad_h_last", "grad_c_last")),
        *((name, ctypes.c_void_p) for name in ("grad_gates_x", "grad_h_first", "grad_c_first")),
    ]


def find_compiler() -> list[str]:
    """Return the command of the C compiler: ``$CC``, else the first of cc, gcc and clang.

    Raises:
        BuildError: there is none.
    """
    chosen = os.environ.get("CC")
    for command in [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if command and shutil.which(command[0]):
            return command
    missing = f"the C compiler {chosen!r} that CC names was not found" if chosen else "no C compiler was found"
    raise BuildError(f"{missing}; install gcc or clang")


def run(command: Arguments[str]) -> str:
    """Run a compiler's command and return what it printed.

    Raises:
        BuildError: it failed; the message quotes its first error.
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
    """Return where the library of these sources, this compiler and these flags is kept."""
    identity = hashlib.sha256(run([*compiler, "--version"]).encode())
    identity.update(repr((list(compiler), FLAGS, THREADS, INSTRUCTION_SETS, platform.machine())).encode())
    for source in sorted(sources.iterdir()):
        identity.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache_directory() / "kernels" / f"lstm-{identity.hexdigest()[:20]}.so"


def compile_library(compiler: Arguments[str], sources: Path, output: Path) -> None:
    """Compile the kernels once for each instruction set and link them into ``output``.

    Another process sees all of the library or nothing, and may build it at the same time.

    Raises:
        BuildError: the compiler fails.
        OSError: the library cannot be written.
    """
    with create_atomically(output) as library:
        try:
            compile_objects([*compiler, *FLAGS, *THREADS], sources, library)
        except BuildError:  # some compilers come without OpenMP; the kernels then run on one thread
            compile_objects([*compiler, *FLAGS], sources, library)


def compile_objects(command: Arguments[str], sources: Path, library: Path) -> None:
    """Compile and link with one command and its flags, several compilers at a time.

    The objects go beside the library. An instruction set whose flags an older compiler does not know is left out.
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
    """Return whether a compiler knows its flags, by an empty source."""
    try:
        run([*command, "-E", "-x", "c", os.devnull])
    except BuildError:
        return False
    return True


@functools.cache
def fastest_instruction_set() -> str:
    """Return the fastest instruction set of this processor; builds the kernels.

    Raises:
        BuildError: they cannot be built or loaded here.
    """
    return available_instruction_sets()[0]


@functools.cache
def load_library() -> ctypes.CDLL:
    """Return the kernels, built first where the cache has none for this compiler and these sources.

    Raises:
        BuildError: they cannot be built or loaded here.
    """
    try:
        compiler = find_compiler()
        path = cached_library(compiler, SOURCES)
        if not path.exists():
            compile_library(compiler, SOURCES, path)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise BuildError(f"the built kernels cannot be kept or loaded: {error}") from error


def available_instruction_sets() -> list[str]:
    """Return the instruction sets that this processor runs, the fastest first; builds the kernels.

    Raises:
        BuildError: they cannot be built or loaded here.
    """
    library = load_library()
    built = [name for name in INSTRUCTION_SETS if hasattr(library, f"lstm_forward_{name}")]
    return [name for name in built if getattr(library, f"lstm_runs_{name}")()]
