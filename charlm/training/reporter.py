"""Reporters: what training tells the outside while it runs, such as a terminal or TensorBoard."""

from collections.abc import Iterable, Sequence

from charlm.config import Config
from charlm.errors import CharlmError
from charlm.model import CharLM
from charlm.runs.directory import Row


class Reporter:
    """The interface of a reporter; this one ignores every event. A reporter must not change the training."""

    def read(self, activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Pass on the chunks of a corpus while it is read."""
        return chunks

    def start(self, config: Config, model: CharLM, precision: str, step: int) -> None:
        """Called once before training starts, or resumes after ``step``."""

    def advance(self, step: int, num_chars: int) -> None:
        """Called after every step, which trained on ``num_chars`` characters."""

    def log(self, row: Row) -> None:
        """Called with every row that is added to metrics.jsonl."""

    def show_sample(self, step: int, text: str) -> None:
        """Called with the sample that follows a validation."""

    def warn(self, message: str) -> None:
        """Called when something failed that the run survives."""

    def close(self) -> None:
        """Called once at the end, whether the run finished or not."""


class Reporters(Reporter):
    """Passes every event to several reporters, in their order.

    Args:
        reporters: the reporters, at least one.
    """

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = reporters

    def read(self, activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Pass the chunks through every reporter."""
        for reporter in self._reporters:
            chunks = reporter.read(activity, chunks)
        return chunks

    def start(self, config: Config, model: CharLM, precision: str, step: int) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.start(config, model, precision, step)

    def advance(self, step: int, num_chars: int) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.advance(step, num_chars)

    def log(self, row: Row) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.log(row)

    def show_sample(self, step: int, text: str) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.show_sample(step, text)

    def warn(self, message: str) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.warn(message)

    def close(self) -> None:
        """Close every reporter; a failure becomes a warning, since an exception would hide why the run ended."""
        for reporter in self._reporters:
            try:
                reporter.close()
            except CharlmError as error:
                self.warn(str(error))
