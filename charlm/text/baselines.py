"""What simple predictors reach on the validation part, in bits per symbol: the figures that a model has to beat.

Dimensions: N characters, V vocabulary.
"""

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from charlm.text.vocabulary import Vocabulary

MAX_COUNTED = 8_000_000
"""Symbols of the training part that the predictors learn from, the last ones; more change little and cost memory."""

ORDER = 3
"""Symbols of the longest run that is counted: what is predicted and two before it."""

PIECE_LENGTH = 1 << 20
"""Symbols that are counted or predicted at a time, which bounds the memory and changes no figure."""

MAX_MEASURED = 2_000_000
"""Symbols of the validation part that they are measured on, the first ones."""


def measure_baselines(train: Tensor, val: Tensor, vocabulary: Vocabulary) -> dict[str, float]:
    """Measure the predictors, each having learnt from the training part alone.

    Args:
        train: ids to learn from, (N,).
        val: ids to predict, (N,), at least one.
        vocabulary: the symbols behind the ids.

    Returns:
        Bits per symbol of ``uniform`` (all symbols alike), ``unigram`` (by frequency), ``trigram`` (by the two symbols
        before, backing off to fewer) and ``gzip`` (the deflate algorithm on the validation text alone).
    """
    V = len(vocabulary)
    counted, measured = train[-MAX_COUNTED:], val[:MAX_MEASURED]
    counts = [_count(counted, n, V) for n in range(1, ORDER + 1)]
    return {
        "uniform": math.log2(V),
        "unigram": _bits_per_symbol(counts[:1], measured, V),
        "trigram": _bits_per_symbol(counts, measured, V),
        "gzip": 8 * len(zlib.compress(vocabulary.to_bytes(measured), 9)) / len(measured),
    }


class Counts(NamedTuple):
    """How often each run of n symbols occurs, and what follows its first n - 1, the context.

    Attributes:
        grams: the numbers of the runs, sorted, (G,).
        gram_counts: occurrences of each, (G,).
        contexts: the numbers of the contexts, sorted, (C,).
        totals: occurrences of each, (C,).
        kinds: how many different symbols follow each, (C,).
    """

    grams: Tensor
    gram_counts: Tensor
    contexts: Tensor
    totals: Tensor
    kinds: Tensor


def _count(ids: Tensor, n: int, V: int) -> Counts:
    """Count the runs of n symbols, the counts of each piece added to those of the pieces before."""
    grams = gram_counts = torch.zeros(0, dtype=torch.int64)
    for start in range(0, len(ids) - n + 1, PIECE_LENGTH):
        piece = ids[start : start + PIECE_LENGTH + n - 1]
        new, new_counts = torch.unique(_number_grams(piece, n, V), return_counts=True)
        grams, place = torch.unique(torch.cat([grams, new]), return_inverse=True)
        gram_counts = torch.zeros_like(grams).index_add_(0, place, torch.cat([gram_counts, new_counts]))
    contexts, kinds = torch.unique_consecutive(grams // V, return_counts=True)
    totals = torch.zeros_like(contexts).index_add_(0, torch.searchsorted(contexts, grams // V), gram_counts)
    return Counts(grams, gram_counts, contexts, totals, kinds)


def _bits_per_symbol(counts: Sequence[Counts], val: Tensor, V: int) -> float:
    """Return the mean cost of val under an n-gram model with the counts of 1 to n symbols."""
    total = 0.0
    for start in range(0, len(val), PIECE_LENGTH):
        before = min(start, len(counts) - 1)  # symbols of context that belong to the piece before
        piece = val[start - before : start + PIECE_LENGTH]
        total -= float(_predict(counts, piece, V)[before:].log2().sum())
    return total / len(val)


def _predict(counts: Sequence[Counts], val: Tensor, V: int) -> Tensor:
    """Return the probability of each symbol of val (N,) after those before it, backed off by Witten & Bell's method.

        p_n(x | context) = (count(context, x) + kinds(context) p_{n-1}(x | shorter)) / (count(context) + kinds(context))

    with kinds(context) the number of different symbols seen after a context, down to the uniform p_0 = 1 / V.

    Source: Witten & Bell, IEEE Transactions on Information Theory 37(4), 1991, method C.
    """
    probability = torch.full((len(val),), 1 / V, dtype=torch.float64)
    for n, (grams, gram_counts, contexts, totals, kinds) in enumerate(counts, start=1):
        asked = _number_grams(val, n, V)  # (N - n + 1,)
        count = _look_up(grams, gram_counts, asked)
        total = _look_up(contexts, totals, asked // V)
        kind = _look_up(contexts, kinds, asked // V)
        shorter = probability[n - 1 :]
        mixed = (count + kind * shorter) / (total + kind).clamp(min=1)
        probability[n - 1 :] = torch.where(total > 0, mixed, shorter)
    return probability


def _number_grams(ids: Tensor, n: int, V: int) -> Tensor:
    """Return one number for each run of n symbols, (N - n + 1,); dividing it by V drops the last symbol."""
    ids = ids.to(torch.int64)
    length = len(ids) - n + 1
    number = torch.zeros(max(length, 0), dtype=torch.int64)
    for offset in range(n if length > 0 else 0):
        number = number * V + ids[offset : offset + length]
    return number


def _look_up(keys: Tensor, values: Tensor, asked: Tensor) -> Tensor:
    """Return the values of asked keys in sorted keys, 0 for those that are not there."""
    if len(keys) == 0:
        return torch.zeros_like(asked)
    place = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == asked, values[place], 0)
