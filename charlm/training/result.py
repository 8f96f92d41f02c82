"""The result of a finished run."""

import math
from dataclasses import dataclass

from charlm.training.diagnosis import judge_result
from charlm.training.estimates import count_parameters
from charlm.training.session import Session


@dataclass(frozen=True)
class TrainingResult:
    """The result of a finished run.

    Attributes:
        steps: total number of optimizer steps.
        best_loss_nats: lowest validation loss, nats per character.
        best_step: step at which the lowest validation loss was reached.
        last_loss_nats: validation loss after the last step.
        num_chars: number of characters trained on, including repetitions.
        elapsed_s: duration of the run in seconds, without interruptions.
        baselines_bits: loss of simple predictors on the same validation part, bits per character.
        num_parameters: number of parameters of each part of the model; the total is last.
        garbage_frac: fraction of garbage in text that the best model generates without a prompt, 0 to 1.
        early_stop_step: step after which ``train.patience`` ran out; None if the run took ``train.max_steps``.
        problems: problems of the training result, one sentence with advice each.
    """

    steps: int
    best_loss_nats: float
    best_step: int
    last_loss_nats: float
    num_chars: int
    elapsed_s: float
    baselines_bits: dict[str, float]
    num_parameters: dict[str, int]
    garbage_frac: float | None
    early_stop_step: int | None
    problems: list[str]

    @property
    def best_bits_per_char(self) -> float:
        """The lowest validation loss in bits per character; in bits per byte for a byte vocabulary."""
        return self.best_loss_nats / math.log(2)


def describe_result(session: Session, baselines_bits: dict[str, float]) -> TrainingResult:
    """Return the result of a session whose steps are all taken."""
    best_loss_nats, best_step = session.best
    return TrainingResult(
        steps=session.step,
        best_loss_nats=best_loss_nats,
        best_step=best_step,
        last_loss_nats=session.last_loss_nats,
        num_chars=session.step * session.chars_per_step,
        elapsed_s=session.elapsed_s,
        baselines_bits=baselines_bits,
        num_parameters=count_parameters(session.config.model, len(session.corpus.vocabulary)),
        garbage_frac=session.best_garbage_frac,
        early_stop_step=session.early_stop_step,
        problems=judge_result(best_loss_nats / math.log(2), baselines_bits, session.best_garbage_frac),
    )
