"""The exact loss of a text.

Dimensions: N characters, K segments evaluated side by side, T time.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from charlm.errors import CharlmError, InputError
from charlm.lstm import LSTMState
from charlm.lstm.layers import States
from charlm.model import CharLM

STATE_TOLERANCE = 1e-4
"""Two states closer than this count as the same. What is left of the difference fades along a segment: the loss of a
text changed by 1e-9 nats where this was measured."""

MIN_SEGMENT_LENGTH = 1024
"""Characters of a segment, at least: in shorter ones a state has no time to be forgotten."""

MAX_CHUNK_LENGTH = 256
"""Characters of a segment that are scored at a time, at most."""

MAX_LOGITS = 2**25
"""Logits in memory at a time, at most: 128 MiB."""


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes:
        loss_nats: mean negative log-likelihood of a character, in nats.
        num_chars: how many characters were predicted.
    """

    loss_nats: float
    num_chars: int

    @property
    def bits_per_char(self) -> float:
        """The loss in bits; of a byte, in a byte vocabulary."""
        return self.loss_nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many characters, all alike, the choice would be as hard."""
        return math.exp(min(self.loss_nats, 700.0))


def evaluate(model: CharLM, ids: Tensor, window: int | None = None, batch_size: int = 16) -> Evaluation:
    """Measure the exact loss of a text, in float32 and without dropout; the model's mode is left as it was.

    Every character but the first is predicted once, from the state that all characters before it have left, or with
    ``window`` only those since the last multiple of it.

    Args:
        model: any model.
        ids: the text, (N,), N at least 2.
        window: start from the zero state every so many characters; None to carry the state through the whole text.
        batch_size: segments evaluated side by side; it changes the time, not the result.

    Raises:
        InputError: the text has fewer than 2 characters.
        CharlmError: the loss is not a number.
    """
    if len(ids) < 2:
        raise InputError(f"a text of {len(ids)} characters has nothing to predict; give at least 2.")
    was_training = model.training
    model.eval()
    with torch.no_grad():
        total = (
            _carried_loss(model, ids, batch_size) if window is None else _windowed_loss(model, ids, window, batch_size)
        )
    model.train(was_training)
    if not math.isfinite(total):
        raise CharlmError("the loss of the text is not a number: the model's weights are broken.")
    return Evaluation(total / (len(ids) - 1), len(ids) - 1)


def _windowed_loss(model: CharLM, ids: Tensor, window: int, batch_size: int) -> float:
    """Return the summed loss, each window from the zero state."""
    num_whole = (len(ids) - 1) // window
    total = 0.0
    for first in range(0, num_whole, batch_size):
        starts = torch.arange(first, min(first + batch_size, num_whole)) * window
        losses, _ = _score_segments(model, ids, starts, window, _zero_state(model, len(starts)))
        total += float(losses.sum())
    rest_start = num_whole * window
    return total + _rest_loss(model, ids, rest_start, _zero_state(model, 1))


def _carried_loss(model: CharLM, ids: Tensor, batch_size: int) -> float:
    """Return the summed loss of one pass that carries the state, computed in K segments side by side.

    Each segment needs the state at the end of the one before. All start from zeros at first; then each starts from
    what its neighbour ended with, again and again, until no start changes. After round k the first k segments are
    right for certain, so it ends after K rounds; an LSTM forgets, so fewer do, and only the segments whose start has
    changed run again. The result is that of a single pass, whatever K. A small K is best: its worst case costs little
    more than a single pass, and a long segment forgets more.
    """
    K = max(1, min(batch_size, (len(ids) - 1) // MIN_SEGMENT_LENGTH))
    length = (len(ids) - 1) // K
    starts = torch.arange(K) * length
    losses = torch.zeros(K, dtype=torch.float64)
    begins = _zero_state(model, K)  # (L, 2, K, H)
    ends = begins.clone()
    stale = torch.arange(K)
    while len(stale):
        losses[stale], ends[:, :, stale] = _score_segments(model, ids, starts[stale], length, begins[:, :, stale])
        new_begins = torch.cat([torch.zeros_like(ends[:, :, :1]), ends[:, :, :-1]], dim=2)
        change = (new_begins - begins).abs().amax(dim=(0, 1, 3))  # (K,)
        begins, stale = new_begins, (change > STATE_TOLERANCE).nonzero().flatten().cpu()
    return float(losses.sum()) + _rest_loss(model, ids, K * length, ends[:, :, -1:])


def _rest_loss(model: CharLM, ids: Tensor, start: int, state: Tensor) -> float:
    """Return the summed loss from a place to the end of the text, 0 at the end."""
    losses, _ = _score_segments(model, ids, torch.tensor([start]), len(ids) - 1 - start, state)
    return float(losses.sum())


def _zero_state(model: CharLM, num_segments: int) -> Tensor:
    return _pack(model.initial_state(num_segments))


def _pack(states: States) -> Tensor:
    """Return the states of L layers as one tensor, (L, 2, K, H)."""
    return torch.stack([torch.stack(state) for state in states])


def _score_segments(model: CharLM, ids: Tensor, starts: Tensor, length: int, packed: Tensor) -> tuple[Tensor, Tensor]:
    """Return each segment's summed loss, (K,) float64, and the states at the segments' ends, (L, 2, K, H)."""
    states: States = tuple(LSTMState(h, c) for h, c in packed)
    losses = torch.zeros(len(starts), dtype=torch.float64)
    chunk_length = max(1, min(MAX_CHUNK_LENGTH, MAX_LOGITS // (len(starts) * model.output.out_features)))
    for first in range(0, length, chunk_length):
        count = min(chunk_length, length - first)
        rows = torch.stack([ids[start : start + count + 1] for start in (starts + first).tolist()])
        rows = rows.to(packed.device, torch.int64)  # (K, T + 1)
        logits, states = model(rows[:, :-1], states)
        nats = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")  # (K T,)
        losses += nats.view(len(starts), count).double().sum(dim=1).cpu()
    return losses, _pack(states)
