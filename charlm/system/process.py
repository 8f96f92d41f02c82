"""Settings of the process: memory, standard streams, errors in threads."""

import ctypes
import io
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

M_TRIM_THRESHOLD = -1
"""mallopt(3): the amount of free heap memory above which it is returned to the system; -1 for never."""

M_MMAP_MAX = -4
"""mallopt(3): the maximum number of allocations that are served by mmap; 0 for none."""


def keep_freed_memory() -> bool:
    """Let malloc keep freed memory for the next training step; return whether that is supported (glibc only).

    By default glibc serves each large tensor by mmap and unmaps it when it is freed. Then the system must zero all
    pages again in every step, which takes up to a third of a step's time. With this setting the process keeps as much
    memory as its largest step used.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def open_standard_streams() -> None:
    """Open the null device for stdin, stdout and stderr if the process was started with them closed.

    Otherwise the next opened file would get the file descriptor of the stream, and output would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  # never closed
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written."""

    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def drop_lost_messages() -> None:
    """Let stderr drop what cannot be written: training goes on, or saves, where a terminal or a pipe was closed.

    Ctrl-C in ``charlm train 2>&1 | tee log`` also ends ``tee``, and a closed terminal cannot be written to.
    """
    lossy = _LossyFile(2, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(lossy), sys.stderr.encoding, errors=sys.stderr.errors, line_buffering=True
    )


def suppress_thread_os_errors() -> None:
    """Print no traceback of an OSError in a thread: TensorBoard's writer raises it again in the main thread."""
    print_traceback = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, OSError):
            print_traceback(arguments)

    threading.excepthook = hook
