"""The process itself: its share of memory and processors, its standard streams, its threads."""

import ctypes
import os
import sys
import threading

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


def open_standard_streams() -> None:
    """Give a process that was started with a closed stdin, stdout or stderr the null device in its place.

    Otherwise the next file that is opened would get the stream's number, and what is printed would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def hush_threads() -> None:
    """Print no traceback of an OSError in a thread: TensorBoard's raises it again where the main thread writes."""
    print_traceback = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, OSError):
            print_traceback(arguments)

    threading.excepthook = hook
