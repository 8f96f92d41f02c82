"""Main memory: how much is available, and the errors for failed allocations."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from charlm.errors import CharlmError, InputError, OutOfMemoryError
from charlm.system.memory import available_bytes, explain_shortage

MEMINFO = "MemTotal:  900 kB\nMemFree:   100 kB\nMemAvailable:    500 kB\nSwapFree:   50 kB\nHugePages_Total:  0\n"


def write_system(root: Path, membership: str, limits: dict[str, str]) -> None:
    """Write the files in which Linux reports its memory and the control group of a process."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "meminfo").write_text(MEMINFO)
    (root / "proc" / "self" / "cgroup").write_text(membership)
    for folder, limit in limits.items():
        path = root / "sys" / "fs" / "cgroup" / folder
        path.mkdir(parents=True, exist_ok=True)
        (path / "memory.max").write_text(limit)


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/\n", {}, 550 * 1024),
        ("0::/\n", {"": "max\n"}, 550 * 1024),
        ("0::/\n", {"": "1000\n"}, 1000),
        ("0::/jobs/7\n", {"jobs/7": "max\n", "jobs": "2000\n"}, 2000),
        ("0::/jobs/7\n", {"jobs/7": "3000\n", "jobs": "9000\n"}, 3000),
        ("4:memory:/old\n0::/\n", {"old": "1\n"}, 550 * 1024),
        ("0::/\n", {"": "99999999999\n"}, 550 * 1024),
    ],
)
def test_available_memory(tmp_path: Path, membership: str, limits: dict[str, str], expected: int) -> None:
    """Available are free memory and swap space, up to the lowest limit of the control groups."""
    write_system(tmp_path, membership, limits)
    assert available_bytes(tmp_path) == expected


def test_available_memory_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Linux's files the result is the machine's total memory, or None if that is unknown too."""
    assert available_bytes(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(os, "sysconf_names", {})
    assert available_bytes(tmp_path) is None


def test_this_machine_has_memory() -> None:
    """On the machine that runs the tests at least a few MiB are available."""
    available = available_bytes()
    assert available is not None
    assert available > 2**22


def fail(error: Exception) -> Callable[[], None]:
    """Return a function that raises an error."""

    def raise_error() -> None:
        raise error

    return raise_error


FAILURES = {
    "python": (lambda: bytearray(2**62), None),
    "numpy": (lambda: np.empty(2**58, np.uint8), "256. PiB"),
    "torch": (lambda: torch.empty(2**50), "4,503,599,627,370,496 bytes"),
    "overflow": (lambda: torch.empty(2**40, 2**40), None),
    "windows": (
        fail(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80 bytes.")),
        "80 bytes",
    ),
    "cuda": (fail(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has")), "20.00 MiB"),
    "mps": (fail(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB). Tried to allocate 9 KB on")), "9 KB"),
    "kernel": (fail(CharlmError("out of memory in lstm_forward_avx512")), None),
    "c++": (fail(RuntimeError("std::bad_alloc")), None),
    "the loader": (fail(ImportError("libtorch_cpu.so: failed to map segment from shared object")), None),
    "a thread": (fail(RuntimeError("can't start new thread")), None),
    "an import": (fail(SystemError("<built-in f> returned NULL without setting an exception")), None),
    "an operation": (fail(SystemError("error return without exception set")), None),
    "system": (fail(OSError(12, "Cannot allocate memory")), None),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_allocation_says_what_to_change(name: str) -> None:
    """For every kind of failed allocation the error gives the requested size, if known, and the settings to lower."""
    allocate, requested = FAILURES[name]
    what = "an allocation failed" if requested is None else f"an allocation of {re.escape(requested)} failed"
    message = rf"^out of memory: {what}\. .*lower .*hidden_size.*batch_size"
    with pytest.raises(OutOfMemoryError, match=message) as raised, explain_shortage():
        allocate()
    assert raised.value.exit_status == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(28, "No space left on device"),
        InputError("notes/out of memory.yaml: there is no such file"),
        OutOfMemoryError("out of memory: explained already"),
        ValueError("out of memory"),
    ],
)
def test_other_errors_pass(error: Exception) -> None:
    """An error that is not a failed allocation, or that was converted before, is unchanged."""
    with pytest.raises(type(error)) as raised, explain_shortage():
        raise error
    assert raised.value is error
