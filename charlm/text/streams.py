"""Splits of a corpus, and the parallel streams that training reads.

Dimensions: B batch (parallel streams), T time (characters a stream advances in a step), N characters.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.errors import InputError


class Splits(NamedTuple):
    """The three contiguous parts of a corpus, each (N,): the first trains, the next validates, the last tests."""

    train: Tensor
    val: Tensor
    test: Tensor


class Batch(NamedTuple):
    """What one training step reads.

    Attributes:
        inputs: (B, T) int64.
        targets: (B, T) int64, the inputs shifted by one character.
        is_pass_start: whether the streams begin anew here, so that the state must be reset.
    """

    inputs: Tensor
    targets: Tensor
    is_pass_start: bool


def split_ids(ids: Tensor, val_frac: float, test_frac: float) -> Splits:
    """Cut ids (N,) into contiguous parts by their shares, without copying.

    Raises:
        InputError: a part that was asked for has fewer than the two characters that a prediction takes.
    """
    val, test = Fraction(str(val_frac)), Fraction(str(test_frac))
    train_end = math.floor(len(ids) * (1 - val - test))
    val_end = math.floor(len(ids) * (1 - test))
    splits = Splits(ids[:train_end], ids[train_end:val_end], ids[val_end:])
    for name, part, is_wanted in zip(splits._fields, splits, (True, True, test_frac > 0), strict=True):
        if is_wanted and len(part) < 2:
            raise InputError(
                f"the {name} part of the corpus has {len(part)} of its {len(ids)} characters and needs at least 2. "
                f"Use a longer text or other shares (data.val_frac={val_frac}, data.test_frac={test_frac})."
            )
    return splits


@dataclass(frozen=True)
class ParallelStreams:
    """A text cut into B streams that advance T characters a step.

    What a step reads depends on its number alone, so the number is all that resuming needs. A pass is as many whole
    steps as fit; what they leave at the end of one pass is read in the next, which is aligned to the text's end.

    Args:
        ids: the text, (N,).
        batch_size: B.
        seq_length: T.

    Raises:
        InputError: the text is too short for one step; the message says the least length.
    """

    ids: Tensor
    batch_size: int
    seq_length: int

    def __post_init__(self) -> None:
        if self.steps_per_pass < 1:
            least = self.batch_size * self.seq_length + 1
            raise InputError(
                f"the training part of the corpus has {len(self.ids):,} characters; a step of train.batch_size="
                f"{self.batch_size} times train.seq_length={self.seq_length} takes at least {least:,}. "
                "Use a longer text, or lower one of the two."
            )

    @property
    def steps_per_pass(self) -> int:
        """How many steps one pass over the text takes."""
        return (len(self.ids) - 1) // (self.batch_size * self.seq_length)

    def batch(self, step: int) -> Batch:
        """Return what a step reads, steps counted from 0 over all passes."""
        pass_index, step_of_pass = divmod(step, self.steps_per_pass)
        stream_length = self.steps_per_pass * self.seq_length
        left_over = len(self.ids) - 1 - self.batch_size * stream_length
        first = (left_over if pass_index % 2 else 0) + step_of_pass * self.seq_length
        starts = first + stream_length * torch.arange(self.batch_size)  # (B,)
        rows = torch.stack([self.ids[start : start + self.seq_length + 1] for start in starts.tolist()])
        rows = rows.to(torch.int64)  # (B, T + 1)
        return Batch(rows[:, :-1], rows[:, 1:], step_of_pass == 0)
