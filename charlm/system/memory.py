"""Main memory: how much is available, and clear errors where it runs out."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charlm.errors import CharlmError, OutOfMemoryError

SHORTAGE = re.compile(
    r"out of memory|(can't|cannot|unable to) allocate|not enough memory|bad_alloc|storage size calculation overflowed|"
    r"can't start new thread|failed to map segment|cannot apply additional memory protection|"
    r"without (setting an exception|exception set)",
    re.IGNORECASE,
)
"""What Python, numpy, torch on each device, the kernels and the system's loader say when an allocation fails. The
last is Python's word for a library that fails and does not say why, as torch does while it is imported."""

REQUESTED = re.compile(r"allocate ([\d.]+ ?[KMGTPE]?i?B\w*)", re.IGNORECASE)

REMEDY = (
    "To train, lower model.hidden_size, model.num_layers, train.batch_size or train.seq_length; to sample, lower "
    "--length; or end other programs. What was saved before is intact."
)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return how much main memory this process may take, in bytes; None where the system does not say.

    On Linux it is the free memory, the cache of files and the swap space, at most the limit of the control group (a
    container, a batch job); elsewhere all memory of the machine.

    Args:
        root: of the file system that holds ``proc`` and ``sys``.
    """
    try:
        text = (root / "proc" / "meminfo").read_text(encoding="ascii")
        kibibytes = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
        available = 1024 * (kibibytes["MemAvailable"] + kibibytes.get("SwapFree", 0))
    except (OSError, KeyError):
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in names:
            return None
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([available, *_control_group_limits(root)])


def _control_group_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits of this process's control group and of those above it (version 2), in bytes."""
    try:
        text = (root / "proc" / "self" / "cgroup").read_text(encoding="utf-8")
    except OSError:
        return
    mount = root / "sys" / "fs" / "cgroup"
    for relative in re.findall(r"^0::/(.*)$", text, re.MULTILINE):
        group = mount / relative
        for folder in (group, *group.parents):
            try:
                yield int((folder / "memory.max").read_text(encoding="ascii"))
            except (OSError, ValueError):  # no such file, or "max": no limit
                continue


@contextmanager
def explain_shortage() -> Iterator[None]:
    """Turn any failed allocation inside the context into an OutOfMemoryError that says what to change.

    Raises:
        OutOfMemoryError: Python, numpy, torch or a kernel could not allocate memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, ImportError, SystemError, CharlmError) as error:
        is_raised_on_purpose = isinstance(error, CharlmError) and type(error) is not CharlmError
        if is_raised_on_purpose or not (isinstance(error, MemoryError) or SHORTAGE.search(str(error))):
            raise
        requested = REQUESTED.search(str(error))
        amount = re.sub(r"^\d+", lambda digits: f"{int(digits[0]):,}", requested[1]) if requested else ""
        what = f"an allocation of {amount} failed" if requested else "an allocation failed"
        raise OutOfMemoryError(f"out of memory: {what}. {REMEDY}") from None
