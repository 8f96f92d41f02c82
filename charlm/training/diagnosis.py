"""Diagnosis of a run that fails to learn: one sentence with advice, at the moment it is clear."""

import math

from charlm.inference.coherence import describe_garbage

MARGIN_NATS = 1.0
"""How far a training loss lies above that of guessing uniformly when training has diverged; initial logits of unit
size cost about half of it."""

MAX_RISE_NATS = 0.1
"""Rise of the validation loss above its minimum from which on a run is said to overfit."""


class Diagnosis:
    """Watches the losses of one run; each problem is reported once.

    Args:
        vocabulary_size: V, at least 1.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._uniform_nats = math.log(vocabulary_size)
        self._reported: set[str] = set()

    def check_training(self, loss_nats: float, step: int) -> str | None:
        """Return what the mean training loss since the last check tells, or None.

        Args:
            loss_nats: nats per character.
            step: steps taken.
        """
        if loss_nats <= self._uniform_nats + MARGIN_NATS:
            return None
        return self._once(
            "diverged",
            f"at step {step:,} the training loss is {loss_nats:.2f} nats, far above the {self._uniform_nats:.2f} of a "
            "uniform guess: training diverges. Lower train.learning_rate, or raise train.warmup_steps.",
        )

    def check_validation(self, loss_nats: float, best_nats: float, best_step: int) -> str | None:
        """Return what a validation loss tells beside the lowest one so far, or None."""
        if loss_nats <= best_nats + MAX_RISE_NATS:
            return None
        return self._once(
            "overfits",
            f"the validation loss has risen by {loss_nats - best_nats:.2f} nats since step {best_step:,}, whose model "
            "best.pt keeps: the run overfits. Raise model.dropout, lower train.max_steps, or take a longer text.",
        )

    def _once(self, problem: str, message: str) -> str | None:
        if problem in self._reported:
            return None
        self._reported.add(problem)
        return message


def judge_result(best_bits: float, baselines_bits: dict[str, float], garbage_frac: float | None) -> list[str]:
    """Return a sentence about each problem of a finished run.

    Args:
        best_bits: lowest validation loss, bits per symbol.
        baselines_bits: what ``text.baselines.measure_baselines`` returns.
        garbage_frac: fraction of garbage among what the best model writes without a prompt, or None.
    """
    problems = [_compare(best_bits, baselines_bits), describe_garbage(garbage_frac)]
    return [problem for problem in problems if problem is not None]


def _compare(best_bits: float, baselines_bits: dict[str, float]) -> str | None:
    """Return a sentence about a model that predicts no better than a simple baseline, or None."""
    advice = {
        "uniform": "the model has learned nothing. Lower train.learning_rate.",
        "unigram": "the model knows no more than how frequent each symbol is. Lower train.learning_rate, or raise "
        "train.max_steps.",
        "trigram": "counts of three symbols predict better. Raise train.max_steps or model.hidden_size, or change "
        "train.learning_rate.",
    }
    for name, consequence in advice.items():
        if best_bits >= baselines_bits[name]:
            return (
                f"the validation loss of {best_bits:.3f} bits is not below the {baselines_bits[name]:.3f} of the "
                f"{name} baseline: {consequence}"
            )
    return None
