"""Works that are done side by side in threads, with one progress for all."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from charlm.text.drafts import Progress

Report = Callable[[int], None]
"""Is told how many more bytes have been read; raises an error when the work is no longer wanted."""

Result = TypeVar("Result")


def run_together(
    works: Sequence[Callable[[Report], Result]],
    activity: str,
    progress: Progress,
    stop: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Do works in threads and return their results; show their progress as one.

    Args:
        works: each takes what it reports to.
        activity: the name of all of it.
        progress: shows the progress.
        stop: called at the end and after an error, so that no work waits for anything.

    Raises:
        Exception: that of a work that failed; the others are stopped.
    """
    counts: SimpleQueue[int] = SimpleQueue()
    is_stopped = threading.Event()

    def report(num_bytes: int) -> None:
        if is_stopped.is_set():
            raise CancelledError
        counts.put(num_bytes)

    with ThreadPoolExecutor(len(works)) as executor, contextlib.ExitStack() as stack:
        stack.callback(stop)
        stack.callback(is_stopped.set)
        futures = [executor.submit(work, report) for work in works]
        for future in futures:
            future.add_done_callback(lambda _: counts.put(0))
        for _ in progress(activity, _count(counts, futures)):
            pass
        failed = [future for future in futures if future.done() and future.exception()]
        return [future.result() for future in failed or futures]


def _count(counts: "SimpleQueue[int]", futures: "Sequence[Future[Any]]") -> Iterator[bytes]:
    """Yield as many bytes as are read, until all works are done or one has failed."""
    num_ended = 0
    while num_ended < len(futures):
        if num_bytes := counts.get():
            yield bytes(num_bytes)
            continue
        num_ended += 1
        if any(future.done() and future.exception() for future in futures):
            return
