"""The library of the C kernels: loaded from the cache, or built and stored there."""

import ctypes
import functools
import tempfile
import warnings
from pathlib import Path

from charlm.errors import CharlmError, DamagedError
from charlm.lstm.kernels import compiler, store
from charlm.lstm.kernels.compiler import BuildError
from charlm.system.files import scratch_directory

FAST_BF16 = frozenset({"amx", "avx512_bf16"})
"""The instruction sets with bfloat16 multiplication."""


class Sequence(ctypes.Structure):
    """The arguments of the kernels; csrc/lstm.h describes them in the same order."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("T", "B", "H", "num_threads", "is_bf16")),
        *((name, ctypes.c_void_p) for name in ("weight_hh", "gates_x", "ids", "h_first", "c_first")),
        *((name, ctypes.c_void_p) for name in ("hidden", "gates", "cells", "h_last", "c_last")),
        *((name, ctypes.c_void_p) for name in ("grad_hidden", "grad_h_last", "grad_c_last")),
        *((name, ctypes.c_void_p) for name in ("grad_gates_x", "grad_h_first", "grad_c_first")),
    ]


@functools.cache
def fastest_instruction_set() -> str:
    """Return the fastest instruction set of this processor; builds the kernels if necessary.

    Raises:
        BuildError: the kernels cannot be built or loaded.
    """
    return available_instruction_sets()[0]


@functools.cache
def load_library() -> ctypes.CDLL:
    """Return the library of the kernels; builds it if the cache has no intact one for this compiler and these sources.

    A warning gives the reason why a stored library is not used, or why the new one cannot be stored.

    Raises:
        BuildError: the kernels cannot be built or loaded.
    """
    command = compiler.find_compiler()
    identity = compiler.identify_library(command, compiler.SOURCES)
    try:
        if (stored := store.read_library(identity)) is not None:
            return store.load_from_memory(stored)
    except (DamagedError, OSError) as error:
        warnings.warn(f"{error}; the kernels are built again.", RuntimeWarning, stacklevel=2)
    content = build(command)
    try:
        library = store.load_from_memory(content)
    except OSError as error:
        reason = str(error).rpartition(": ")[2]  # without the path of a file that is gone
        raise BuildError(f"the library built by the C compiler {command[0]} cannot be loaded: {reason}") from None
    try:
        store.write_library(identity, content)
    except CharlmError as error:
        warnings.warn(f"the kernels were built for this process alone: {error}", RuntimeWarning, stacklevel=2)
    return library


def build(command: list[str]) -> bytes:
    """Return the content of a new library, built in a temporary directory that only this user can write to.

    Raises:
        BuildError: the compiler fails, or the directory cannot be written.
    """
    try:
        with scratch_directory(Path(tempfile.gettempdir())) as scratch:
            library = scratch / "lstm.so"
            compiler.compile_library(command, compiler.SOURCES, library)
            return library.read_bytes()
    except OSError as error:
        raise BuildError(f"{tempfile.gettempdir()}: the kernels cannot be built there: {error.strerror}") from None


def available_instruction_sets() -> list[str]:
    """Return the instruction sets of this processor, from fastest to slowest; builds the kernels if necessary.

    Raises:
        BuildError: the kernels cannot be built or loaded.
    """
    library = load_library()
    built = [name for name in compiler.INSTRUCTION_SETS if hasattr(library, f"lstm_forward_{name}")]
    return [name for name in built if getattr(library, f"lstm_runs_{name}")()]
