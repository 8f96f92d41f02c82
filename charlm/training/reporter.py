"""Reporters: what training tells the outside while it runs, such as a terminal or TensorBoard."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from charlm.config import Config
from charlm.errors import CharlmError
from charlm.model import CharLM
from charlm.runs.metrics import Row
from charlm.text.vocabulary import Vocabulary
from charlm.training.inheritance import Inheritance


@dataclass(frozen=True)
class RunDescription:
    """What is known of a run when its training starts or resumes.

    Attributes:
        config: what is trained.
        step: steps taken so far.
        last_step: steps at the end of the run; with ``train.patience`` it may end earlier.
        best_loss_nats: lowest validation loss so far, nats per character; infinite before the first validation.
        device: what the run trains on, such as ``cpu`` or ``cuda:0``.
        precision: of the matrix products, ``fp32`` or ``bf16``.
        kernel: name of the LSTM's kernel, and how it runs.
        num_parameters: by part of the model; the entry ``whole`` is last.
        baselines_bits: bits per character of simple predictors on the validation part.
        vocabulary: the symbols of the text.
        passage: the first characters of the validation part, (T,); for a look at the model at work.
        inheritance: what a run that starts now takes over from its base; None for new weights, or if it resumes.
    """

    config: Config
    step: int
    last_step: int
    best_loss_nats: float
    device: str
    precision: str
    kernel: str
    num_parameters: dict[str, int]
    baselines_bits: dict[str, float]
    vocabulary: Vocabulary
    passage: Tensor
    inheritance: Inheritance | None = None


class Reporter:
    """The interface of a reporter; this one ignores every event. A reporter must not change the training."""

    def read(self, activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Pass on the chunks of a corpus while it is read."""
        return chunks

    def start(self, run: RunDescription) -> None:
        """Called once before training starts or resumes."""

    def advance(self, step: int, num_chars: int) -> None:
        """Called after every step, which trained on ``num_chars`` characters."""

    def log(self, row: Row) -> None:
        """Called with every row that is added to metrics.jsonl."""

    def begin_cool_down(self, step: int, last_step: int) -> None:
        """Called when ``train.patience`` has run out after a step, so that the run ends after ``last_step``."""

    def show_model(self, step: int, model: CharLM) -> None:
        """Called after every validation with the model that was validated; a reporter must not change it."""

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

    def start(self, run: RunDescription) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.start(run)

    def advance(self, step: int, num_chars: int) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.advance(step, num_chars)

    def log(self, row: Row) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.log(row)

    def begin_cool_down(self, step: int, last_step: int) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.begin_cool_down(step, last_step)

    def show_model(self, step: int, model: CharLM) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.show_model(step, model)

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
