"""Emulation of AMX on processors without it: a handler of SIGILL executes the instructions."""

import ctypes
import sys
import tempfile
from pathlib import Path

from charlm.lstm.kernels import compiler, native

EMULATION = Path(__file__).with_name("emulate_tiles.c")
FLAGS = ("-std=c11", "-O2", "-mfma")


def emulate() -> str:
    """Load the emulation for the rest of this process; return why it cannot be loaded, or an empty string."""
    if reason := why_not():
        return reason
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / "emulate_tiles.so"
        command = [*compiler.find_compiler(), *FLAGS, "-shared", "-fPIC", str(EMULATION), "-o", str(library), "-lm"]
        compiler.run(command, timeout_s=60)
        ctypes.CDLL(str(library))
    return ""


def why_not() -> str:
    """Return why AMX cannot be emulated here, or an empty string."""
    if sys.platform != "linux" or "amx" not in compiler.INSTRUCTION_SETS:
        return "it is emulated on Linux on x86-64 only"
    if not hasattr(native.load_library(), "lstm_forward_amx"):
        return "the compiler does not support it"
    if "avx512_bf16" not in native.available_instruction_sets():
        return "the processor does not support avx512_bf16, which the same code uses"
    return ""
