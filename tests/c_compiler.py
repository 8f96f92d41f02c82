"""C compilers in tests: the one of this machine, and scripts that act as one."""

from pathlib import Path

import pytest

from charlm.lstm.kernels import compiler

try:
    COMPILER = compiler.find_compiler()
except compiler.BuildError as reason:
    COMPILER = []
    NO_COMPILER = f"THE BUILD IS NOT TESTED: {reason}"
else:
    NO_COMPILER = ""

needs_compiler = pytest.mark.skipif(not COMPILER, reason=NO_COMPILER)


def write_compiler(directory: Path, script: str) -> str:
    """Write a shell script that acts as the compiler, and return its path."""
    path = directory / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)
