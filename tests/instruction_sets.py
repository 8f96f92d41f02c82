"""The instruction sets on which the C kernels are tested: all of this processor, and emulated AMX."""

import pytest
from amx import emulate

from charlm.lstm.kernels import native

try:
    INSTRUCTION_SETS = native.available_instruction_sets()
    NO_KERNELS = ""
    NO_AMX = "" if "amx" in INSTRUCTION_SETS else emulate()
except native.BuildError as reason:
    INSTRUCTION_SETS = ["portable"]
    NO_KERNELS = f"THE C KERNELS ARE NOT TESTED: {reason}"
    NO_AMX = str(reason)

needs_compiler = pytest.mark.skipif(bool(NO_KERNELS), reason=NO_KERNELS)
amx_emulated = pytest.param(
    "amx", id="amx-emulated", marks=pytest.mark.skipif(bool(NO_AMX), reason=f"THE PATH amx IS NOT TESTED: {NO_AMX}")
)
on_every_instruction_set = pytest.mark.parametrize(
    "instruction_set", INSTRUCTION_SETS if "amx" in INSTRUCTION_SETS else [*INSTRUCTION_SETS, amx_emulated]
)
