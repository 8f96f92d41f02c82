"""How far back a model remembers: its loss when its state is set to zero every so many characters."""

from dataclasses import dataclass

from torch import Tensor

from charlm.inference.evaluation import evaluate
from charlm.model import CharLM

WINDOWS = (1, 4, 16, 64, 256, 1024)
"""Distances between two resets of the state, in characters."""


@dataclass(frozen=True)
class ResetLoss:
    """The loss of a text at one distance between resets.

    Attributes:
        window: characters from one reset of the state to the next; None for a state that is carried through the text.
        bits_per_char: mean loss of the characters, in bits.
    """

    window: int | None
    bits_per_char: float


def measure_resets(model: CharLM, ids: Tensor) -> list[ResetLoss]:
    """Return the loss of a text for each distance that is shorter than the text, and last the carried loss.

    With 1, each character is predicted from the one before it alone. All losses are of the same characters.

    Args:
        model: the model; it is not changed.
        ids: the text, (T,), T at least 2.
    """
    windows = [window for window in WINDOWS if window < len(ids) - 1]
    return [ResetLoss(window, evaluate(model, ids, window).bits_per_char) for window in (*windows, None)]
