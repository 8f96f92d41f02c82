"""Splits of a corpus, and the parallel streams of training batches.

Dimensions: B batch (parallel streams), T time (characters of a stream per step), N characters.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.errors import InputError

COUNTED_AT_ONCE = 1 << 20
"""Symbols that are counted at a time, which bounds the memory."""


class Splits(NamedTuple):
    """The contiguous splits of a corpus for training, validation and test, each (N,)."""

    train: Tensor
    val: Tensor
    test: Tensor


class Batch(NamedTuple):
    """The batch of one training step.

    Attributes:
        inputs: (B, T) int64.
        targets: (B, T) int64, the inputs shifted by one character.
        is_pass_start: whether the streams restart here, so that the state must be reset.
        share: the fraction of the streams of the step that are in this batch; below 1 if other processes have the rest.
    """

    inputs: Tensor
    targets: Tensor
    is_pass_start: bool
    share: float = 1.0


def split_ids(ids: Tensor, val_frac: float, test_frac: float) -> Splits:
    """Split ids (N,) into contiguous parts, without copying.

    Args:
        ids: the corpus, (N,).
        val_frac: fraction of the validation part.
        test_frac: fraction of the test part.

    Raises:
        InputError: a required part has fewer than two characters, the minimum for one prediction.
    """
    val, test = Fraction(str(val_frac)), Fraction(str(test_frac))
    train_end = math.floor(len(ids) * (1 - val - test))
    val_end = math.floor(len(ids) * (1 - test))
    splits = Splits(ids[:train_end], ids[train_end:val_end], ids[val_end:])
    for name, part, is_wanted in zip(splits._fields, splits, (True, True, test_frac > 0), strict=True):
        if is_wanted and len(part) < 2:
            raise InputError(
                f"the {name} part of the corpus has {len(part)} of its {len(ids)} characters and needs at least 2. "
                f"Use a longer text or other fractions (data.val_frac={val_frac}, data.test_frac={test_frac})."
            )
    return splits


def count_symbols(ids: Tensor, vocabulary_size: int) -> Tensor:
    """Return how often each symbol occurs in ids (N,), (V,) int64; a piece of the ids is in memory at a time."""
    counts = torch.zeros(vocabulary_size, dtype=torch.int64)
    for start in range(0, len(ids), COUNTED_AT_ONCE):
        piece = ids[start : start + COUNTED_AT_ONCE].to(torch.int32)  # bincount takes no uint16
        counts += torch.bincount(piece, minlength=vocabulary_size)
    return counts


@dataclass(frozen=True)
class ParallelStreams:
    """A text cut into B streams that advance T characters per step.

    A batch depends only on the step number, so the number is sufficient to resume. A pass has as many whole steps as
    fit into the text. Even passes start at the beginning of the text and odd passes end at its end, so that the
    remaining characters are read in every second pass.

    Args:
        ids: the text, (N,).
        batch_size: B.
        seq_length: T.
        own: the streams whose batches are returned; all by default.

    Raises:
        InputError: the text is too short for one step; the message states the minimum length.
    """

    ids: Tensor
    batch_size: int
    seq_length: int
    own: slice = field(default_factory=lambda: slice(None))

    def __post_init__(self) -> None:
        if self.steps_per_pass < 1:
            minimum = self.batch_size * self.seq_length + 1
            raise InputError(
                f"the training part of the corpus has {len(self.ids):,} characters; a step with train.batch_size="
                f"{self.batch_size} and train.seq_length={self.seq_length} needs at least {minimum:,}. "
                "Use a longer text, or decrease one of the two."
            )

    @property
    def steps_per_pass(self) -> int:
        """The number of steps in one pass over the text."""
        return (len(self.ids) - 1) // (self.batch_size * self.seq_length)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; steps are counted from 0 over all passes."""
        pass_index, step_of_pass = divmod(step, self.steps_per_pass)
        stream_length = self.steps_per_pass * self.seq_length
        left_over = len(self.ids) - 1 - self.batch_size * stream_length
        first = (left_over if pass_index % 2 else 0) + step_of_pass * self.seq_length
        starts = (first + stream_length * torch.arange(self.batch_size))[self.own]  # (B,), or those of the own streams
        rows = torch.stack([self.ids[start : start + self.seq_length + 1] for start in starts.tolist()])
        rows = rows.to(torch.int64)  # (B, T + 1)
        return Batch(rows[:, :-1], rows[:, 1:], step_of_pass == 0, len(starts) / self.batch_size)
