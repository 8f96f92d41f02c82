"""Works side by side: their results, their progress, and what happens to the others when one fails."""

import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from charlm.text.threads import Report, run_together


def silent(_: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """Show no progress."""
    return chunks


def test_results_and_progress() -> None:
    """The results are in the order of the works, which run at the same time; what they report is added up."""
    both = threading.Barrier(2, timeout=60)
    shown: list[tuple[str, int]] = []

    def work(name: str) -> Callable[[Report], str]:
        def run(report: Report) -> str:
            both.wait()
            report(3)
            return name

        return run

    def show(activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        shown.append((activity, sum(map(len, chunks))))
        return []

    assert run_together([work("a"), work("b")], "testing", show) == ["a", "b"]
    assert shown == [("testing", 6)]


def report_for_ever(report: Report) -> None:
    """Work until a report is refused."""
    while True:
        report(1)


def test_a_failure_stops_the_others() -> None:
    """The error of the work that failed is raised, and no other work goes on."""

    def fail(_: Report) -> None:
        raise LookupError("unforeseen")

    stopped: list[str] = []
    with pytest.raises(LookupError, match="unforeseen"):
        run_together([report_for_ever, fail], "testing", silent, lambda: stopped.append("stopped"))
    assert stopped == ["stopped"]


def test_an_interruption_stops_all() -> None:
    """When the caller is interrupted, every work is stopped before the interruption goes on."""

    def interrupt(_: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        yield next(iter(chunks))
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_together([report_for_ever, report_for_ever], "testing", interrupt)
    assert threading.active_count() == before
