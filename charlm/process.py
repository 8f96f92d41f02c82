"""How the process shares the machine: its memory and its waiting."""

import ctypes
import os
import sys

M_TRIM_THRESHOLD = -1
"""mallopt(3): free memory above which the heap is given back; -1 for never."""

M_MMAP_MAX = -4
"""mallopt(3): how many allocations may be maps of their own; 0 for none."""


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed for the next training step; return whether it can (glibc).

    By default it maps each large tensor anew and unmaps it when it is freed, so that every step pays for the kernel's
    zeroing of every page again: up to a third of a step's time. The process keeps the memory of its largest step.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def wait_briefly() -> None:
    """Let idle threads sleep soon instead of spinning; to be called before torch is imported.

    GNU OpenMP lets a thread spin for milliseconds in the hope of work. Beside another busy process that slows both down
    to a tenth: each spins on the core that the other needs. A choice made in the environment is left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
