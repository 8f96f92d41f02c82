"""Builds the library of the C kernels with the compiler of this machine.

The library contains the kernels compiled for each instruction set of the architecture that the compiler supports. The
processor is checked at run time, so that a library that was built on another machine executes no illegal instruction.
"""

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import DEVNULL, PIPE

from charlm.errors import CharlmError

SOURCES = Path(__file__).parent / "csrc"

KERNEL_SOURCES = ("forward.c", "backward.c", "lookup.c", "gradient.c", "loss.c", "sampler_pack.c", "sampler_write.c")
"""Compiled once for each instruction set. The headers are included by these; processor.c is compiled only once."""

X86_AVX2 = ("-mavx2", "-mfma")
X86_AVX512 = (*X86_AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mprefer-vector-width=512")

INSTRUCTION_SETS: dict[str, tuple[str, ...]] = {"portable": ()}
"""The compiler flags of each instruction set of this architecture, from fastest to slowest."""
if platform.machine() in {"x86_64", "AMD64"}:
    INSTRUCTION_SETS = {
        "amx": (*X86_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16", "-mprfchw"),
        "avx512_bf16": (*X86_AVX512, "-mavx512bf16"),
        "avx512": X86_AVX512,
        "avx2": X86_AVX2,
        "portable": (),
    }

# Contraction into fused multiply-adds changes only the rounding. The other "fast math" flags break NaN.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fPIC")
THREADS = ("-fopenmp",)

VERSION_TIMEOUT_S = 30.0
"""Time within which a compiler must print its version; this is asked at every start."""

BUILD_TIMEOUT_S = 600.0
"""Time within which the whole library must be built, which usually takes seconds."""

POLL_S = 0.2
"""How often a running compiler is checked for the end of its time."""


Process = subprocess.Popen[str]


class BuildError(CharlmError):
    """The kernels cannot be built on this machine; the message gives the reason in one line."""


def find_compiler() -> list[str]:
    """Return the command of the C compiler: ``$CC`` if it is set, else the first of cc, gcc and clang that exists.

    Raises:
        BuildError: no compiler was found.
    """
    chosen = os.environ.get("CC")
    for command in [split_command(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if command and shutil.which(command[0]):
            return command
    missing = f"the C compiler {chosen!r}, set by CC, was not found" if chosen else "no C compiler was found"
    raise BuildError(f"{missing}; install gcc or clang")


def split_command(chosen: str) -> list[str]:
    """Return the words of ``$CC``.

    Raises:
        BuildError: it has a quotation mark without its partner.
    """
    try:
        return shlex.split(chosen)
    except ValueError as error:
        raise BuildError(f"the C compiler {chosen!r}, set by CC, cannot be read as a command: {error}") from None


def run(command: Sequence[str], timeout_s: float, stop: threading.Event | None = None) -> str:
    """Run a compiler command and return its output. If it takes too long, all its processes are ended.

    Args:
        command: the command and its arguments.
        timeout_s: time within which it must end.
        stop: ends it when another thread sets it.

    Raises:
        BuildError: the command failed; the message quotes its first error.
    """
    name = f"the C compiler {command[0]}"
    try:
        with subprocess.Popen(  # noqa: S603
            command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, text=True, errors="replace", start_new_session=True
        ) as process:
            try:
                output, messages = communicate(process, time.monotonic() + timeout_s, stop)
            except BaseException:
                end_group(process)
                raise
    except subprocess.TimeoutExpired:
        raise BuildError(f"{name} did not end in time") from None
    except OSError as error:
        raise BuildError(f"{name} did not run: {error.strerror or error}") from None
    if process.returncode < 0:
        raise BuildError(f"{name} was ended by {signal.Signals(-process.returncode).name}")
    if process.returncode > 0:
        lines = messages.strip().splitlines() or [f"exit status {process.returncode}"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise BuildError(f"{name} failed: {first.strip()}")
    return output


def communicate(process: Process, ends_at_s: float, stop: threading.Event | None) -> tuple[str, str]:
    """Return the output and the messages of a process.

    Raises:
        TimeoutExpired: it did not end in time, or it was to stop.
    """
    while True:
        try:
            return process.communicate(timeout=POLL_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > ends_at_s or (stop is not None and stop.is_set()):
                raise


def end_group(process: Process) -> None:
    """Kill a process that leads a session, and the processes that it started: a compiler starts others."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def identify_library(compiler: Sequence[str], sources: Path) -> str:
    """Return a hash of the sources, the compiler with its version, and the flags.

    Raises:
        BuildError: the compiler does not tell its version.
    """
    identity = hashlib.sha256(run([*compiler, "--version"], VERSION_TIMEOUT_S).encode())
    identity.update(repr((list(compiler), FLAGS, THREADS, INSTRUCTION_SETS, platform.machine())).encode())
    for source in sorted(sources.iterdir()):
        identity.update(source.name.encode() + b"\0" + source.read_bytes())
    return identity.hexdigest()[:20]


def compile_library(compiler: Sequence[str], sources: Path, library: Path) -> None:
    """Compile the kernels once for each instruction set and link them.

    Args:
        compiler: its command.
        sources: the directory of the C files.
        library: the file to write. Its directory also gets the object files.

    Raises:
        BuildError: the compiler fails, or writes no library.
    """
    ends_at_s = time.monotonic() + BUILD_TIMEOUT_S
    try:
        compile_objects([*compiler, *FLAGS, *THREADS], sources, library, ends_at_s)
    except BuildError:  # some compilers lack OpenMP; then the kernels run on one thread
        compile_objects([*compiler, *FLAGS], sources, library, ends_at_s)
    if not library.is_file():
        raise BuildError(f"the C compiler {compiler[0]} reported success but wrote no library")


def compile_objects(command: Sequence[str], sources: Path, library: Path, ends_at_s: float) -> None:
    """Compile in parallel and link, with one compiler command and its flags.

    An instruction set is left out if the compiler does not support its flags.
    """
    stop = threading.Event()

    def run_in_time(command: Sequence[str]) -> None:
        run(command, ends_at_s - time.monotonic(), stop)

    objects = [str(library.parent / "processor.o")]
    commands = [[*command, "-c", str(sources / "processor.c"), "-o", objects[0]]]
    for name, flags in INSTRUCTION_SETS.items():
        if flags and not accepts([*command, *flags]):
            continue
        for source in KERNEL_SOURCES:
            objects.append(str(library.parent / f"{name}-{source}.o"))
            commands.append([*command, *flags, f"-DLSTM_PATH={name}", "-c", str(sources / source), "-o", objects[-1]])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            list(pool.map(run_in_time, commands))
        except BaseException:  # the pool would wait for compilers that Ctrl-C does not reach
            stop.set()
            raise
    run_in_time([*command, "-shared", *objects, "-o", str(library), "-lm"])


def accepts(command: Sequence[str]) -> bool:
    """Return whether the compiler accepts its flags, by preprocessing an empty file."""
    try:
        run([*command, "-E", "-x", "c", os.devnull], VERSION_TIMEOUT_S)
    except BuildError:
        return False
    return True
