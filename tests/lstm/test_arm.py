"""The kernels on 64-bit Arm: built by a cross compiler, run by an emulator, compared with this processor's results."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from c_compiler import COMPILER, needs_compiler
from tolerances import PARITY, assert_near
from torch import Tensor

from charlm.lstm.kernels import compiler

CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
"""Of Debian's packages gcc-aarch64-linux-gnu and qemu-user."""

MISSING = " and ".join(tool for tool in (CROSS_COMPILER, EMULATOR) if not shutil.which(tool))


def run_kernels(
    command: Sequence[str], emulator: Sequence[str], directory: Path
) -> Iterator[tuple[Tensor, torch.dtype]]:
    """Build and run the program of all kernels, for the instruction set portable; yield its results and their dtype."""
    directory.mkdir()
    sources = [compiler.SOURCES / source for source in ("processor.c", *compiler.KERNEL_SOURCES)]
    sources.append(Path(__file__).with_name("run_kernels.c"))
    options = [*compiler.FLAGS, *compiler.THREADS, "-DLSTM_PATH=portable", f"-I{compiler.SOURCES}"]
    program, results = directory / "run_kernels", directory / "results"
    built = [*command, *options, *map(str, sources), "-o", str(program), "-lm"]
    for arguments in (built, [*emulator, str(program), str(results)]):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with results.open("rb") as file:
        while header := file.read(16):
            is_rounded, count = np.frombuffer(header, np.int64).tolist()
            values = torch.from_numpy(np.frombuffer(file.read(4 * count), np.float32).copy())
            yield values, torch.bfloat16 if is_rounded else torch.float32


@needs_compiler
@pytest.mark.skipif(bool(MISSING), reason=f"THE KERNELS ARE NOT TESTED ON ARM: {MISSING} not found")
def test_arm_computes_the_same(tmp_path: Path) -> None:
    """Every kernel gives the same results on 64-bit Arm as on this processor, within the rounding of its dtype."""
    here = list(run_kernels(COMPILER, [], tmp_path / "here"))
    arm = list(run_kernels([CROSS_COMPILER, "-static"], [EMULATOR], tmp_path / "arm"))
    assert len(here) == len(arm) > 400
    for (actual, _), (expected, dtype) in zip(arm, here, strict=True):
        assert_near(actual, expected, PARITY[dtype])
