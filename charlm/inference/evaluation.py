"""The exact loss of a text.

Dimensions: N characters, K stretches of text scored side by side, T time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import DivergedError, InputError
from charlm.model import CharLM

CHUNK_LENGTH = 1024
"""Characters of a stretch of text that are scored at a time, at most."""

MAX_LOGITS = 2**25
"""Logits in memory at a time, at most: 128 MiB."""

WINDOWS_AT_ONCE = 64
"""Windows that are scored side by side; it affects the speed, not the result."""


class Text(Protocol):
    """The ids of a text, read in stretches: a tensor (N,), or an object that computes each stretch on request."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> Tensor:
        """Return the ids of a stretch, (n,)."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes:
        loss_nats: mean negative log-likelihood of a character, in nats.
        num_chars: how many characters were predicted.
        num_unknown: how many characters of the text were left out because the model does not know them.
    """

    loss_nats: float
    num_chars: int
    num_unknown: int = 0

    @property
    def bits_per_char(self) -> float:
        """The loss in bits; of a byte, in a byte vocabulary."""
        return self.loss_nats / math.log(2)

    @property
    def unknown_frac(self) -> float:
        """The fraction of the text that was left out, 0 to 1."""
        return self.num_unknown / (self.num_unknown + self.num_chars + 1)  # the first character is not predicted

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters among which a choice has the same loss."""
        return math.exp(min(self.loss_nats, 700.0))


def evaluate(model: CharLM, ids: Text, window: int | None = None) -> Evaluation:
    """Measure the exact loss of a text, in float32 and without dropout; the model's mode stays as it is.

    Every character except the first is predicted once, in one pass, from the state after all characters before it; or
    with ``window`` only from the characters since the last multiple of it.

    Some cells of a trained LSTM carry a difference in their state through the whole text. Therefore the text cannot
    be cut into streams that are measured side by side, not even with a warm-up for each.

    Args:
        model: any model.
        ids: the text, N at least 2; it is read in short stretches.
        window: start from the zero state every ``window`` characters; None to carry the state through the text.

    Raises:
        InputError: the text has fewer than 2 characters.
        DivergedError: the loss is not a number.
    """
    if len(ids) < 2:
        raise InputError(f"a text of {len(ids)} characters has nothing to predict; give at least 2.")
    num_chars = len(ids) - 1
    was_training = model.training
    model.eval()
    with torch.no_grad():
        total = _score(model, ids, [0], num_chars) if window is None else _score_windows(model, ids, window)
    model.train(was_training)
    if not math.isfinite(total):
        raise DivergedError("the loss of the text is not a number: the model's weights are broken.")
    return Evaluation(total / num_chars, num_chars)


def _score_windows(model: CharLM, ids: Text, window: int) -> float:
    """Return the summed loss of all windows, the last one perhaps shorter."""
    num_whole, rest = divmod(len(ids) - 1, window)
    starts = range(0, num_whole * window, window)
    groups = (starts[first : first + WINDOWS_AT_ONCE] for first in range(0, num_whole, WINDOWS_AT_ONCE))
    total = sum(_score(model, ids, group, window) for group in groups)
    return total + (_score(model, ids, [num_whole * window], rest) if rest else 0.0)


def _score(model: CharLM, ids: Text, starts: Sequence[int], length: int) -> float:
    """Return the summed loss of K stretches of equal length, each from the zero state."""
    device = model.output.weight.device
    states = model.initial_state(len(starts))
    total = 0.0
    chunk_length = max(1, min(CHUNK_LENGTH, MAX_LOGITS // (len(starts) * model.output.out_features)))
    for first in range(0, length, chunk_length):
        end = min(first + chunk_length, length) + 1
        rows = torch.stack([ids[start + first : start + end] for start in starts])
        rows = rows.to(device, torch.int64)  # (K, T + 1)
        logits, states = model(rows[:, :-1], states)
        losses = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")  # (K T,)
        total += float(losses.double().sum())
    return total
