"""n-gram models: count the grams of one text, predict another.

A model is one ``Level`` for each length n = 1 to its order. Level n mixes what followed a context of n - 1 symbols with
level n - 1:

    p_n(x | context) = share(context, x) + rest(context) p_{n-1}(x | context without its first symbol)

down to p_0 = 1 / V. A gram is a run of n symbols. It is numbered by the index of its first n - 1 symbols among the
grams of that length, times V, plus its last symbol; so a number is at most the length of the text times V, whatever n.

Dimensions: N symbols, V vocabulary, G different grams of n symbols, C different grams of n - 1 symbols.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

PIECE_LENGTH = 1 << 20
"""Symbols of a text that are sorted at a time, which bounds the memory and changes no figure."""


class Grams(NamedTuple):
    """The grams of one length in a text.

    Attributes:
        numbers: the number of each, sorted, (G,) int64.
        counts: occurrences of each, (G,) int64.
        prefixes: the index of the first n - 1 symbols of each, 0 to C - 1, (G,) int64.
        suffixes: the index of the last n - 1 symbols of each, 0 to C - 1, (G,) int64.
        num_shorter: C.
    """

    numbers: Tensor
    counts: Tensor
    prefixes: Tensor
    suffixes: Tensor
    num_shorter: int


class Level(NamedTuple):
    """The probabilities of one length of context.

    Attributes:
        numbers: the number of each gram, sorted, (G,) int64.
        share: what its context gives its last symbol directly, (G + 1,) float64; the last one, 0, is of an unseen gram.
        rest: what a context leaves to the shorter one, (C + 1,) float64; the last one, 1, is of an unseen context.
    """

    numbers: Tensor
    share: Tensor
    rest: Tensor


def count_grams(ids: Tensor, order: int, V: int) -> Iterator[Grams]:
    """Count the grams of 1 to ``order`` symbols in ids (N,), in this order of length."""
    indices = torch.zeros(len(ids) + 1, dtype=torch.int32)  # of the empty gram, wherever it starts
    num_shorter = 1
    for n in range(1, order + 1):
        last = ids[n - 1 :]
        numbers, counts, longer_indices = _sort_grams(indices, last, V)
        suffixes = torch.zeros_like(numbers)
        suffixes[longer_indices] = indices[1 : len(last) + 1].long()
        yield Grams(numbers, counts, numbers // V, suffixes, num_shorter)
        indices, num_shorter = longer_indices, len(numbers)


def make_level(grams: Grams, gained: Tensor, kept: Tensor, total: Tensor) -> Level:
    """Return the level with gained / total for each gram (G,), and kept / total for each context (C,)."""
    share = gained / total[grams.prefixes]
    rest = torch.where(total > 0, kept / total, 1.0)
    return Level(grams.numbers, torch.cat([share, share.new_zeros(1)]), torch.cat([rest, rest.new_ones(1)]))


def sum_by_context(grams: Grams, values: Tensor) -> Tensor:
    """Return the sum of values (G,) over the grams of each context, (C,) float64."""
    return torch.zeros(grams.num_shorter, dtype=torch.float64).index_add_(0, grams.prefixes, values.double())


def predict(levels: Iterable[Level], ids: Tensor, V: int) -> Iterator[Tensor]:
    """Yield the probability of each symbol of ids (N,) under the first level, the first two, and so on, (N,) float64.

    The first symbols have as much context as there is; the text starts with none.
    """
    probability = torch.full((len(ids),), 1 / V, dtype=torch.float64)
    indices = torch.zeros(len(ids) + 1, dtype=torch.int64)  # of the empty gram
    for n, level in enumerate(levels, start=1):
        last = ids[n - 1 :].long()
        contexts = indices[: len(last)]
        indices = _find(level.numbers, contexts * V + last)  # negative, so not found, after an unseen context
        mixed = level.share[indices] + level.rest[contexts] * probability[n - 1 :]
        probability = torch.cat([probability[: n - 1], mixed])
        yield probability


def _sort_grams(indices: Tensor, last: Tensor, V: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the numbers (G,) and counts (G,) of the grams, and the index of the gram at each position (N,) int32.

    Args:
        indices: the index of the gram that is one symbol shorter at each position, at least (N,).
        last: the last symbol of the gram at each position, (N,).
        V: vocabulary size.
    """
    found, counts, inner = [], [], []
    for start in range(0, max(len(last), 1), PIECE_LENGTH):
        symbols = last[start : start + PIECE_LENGTH].long()
        asked = indices[start : start + len(symbols)].long() * V + symbols
        numbers, index, count = torch.unique(asked, return_inverse=True, return_counts=True)
        found.append(numbers)
        counts.append(count)
        inner.append(index.int())
    numbers, merged = torch.unique(torch.cat(found), return_inverse=True)
    total = torch.zeros_like(numbers).index_add_(0, merged, torch.cat(counts))
    outer = merged.int().split_with_sizes([len(piece) for piece in found])
    return numbers, total, torch.cat([index[within] for index, within in zip(outer, inner, strict=True)])


def _find(numbers: Tensor, asked: Tensor) -> Tensor:
    """Return the index of each asked number in sorted numbers, -1 for those that are not there."""
    if len(numbers) == 0:
        return torch.full_like(asked, -1)
    index = torch.searchsorted(numbers, asked).clamp(max=len(numbers) - 1)
    return torch.where(numbers[index] == asked, index, -1)
