"""What simple predictors reach on the validation part, in bits per symbol: the figures that a model has to beat.

Dimensions: N characters, V vocabulary.
"""

import math
import zlib

import torch
from torch import Tensor

from charlm.text.vocabulary import Vocabulary

MAX_COUNTED = 8_000_000
"""Symbols of the training part that the predictors learn from, the last ones; more change little and cost memory."""

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
    counted = train[-MAX_COUNTED:].to(torch.int64)
    measured = val[:MAX_MEASURED].to(torch.int64)
    text = vocabulary.to_bytes(measured)
    return {
        "uniform": math.log2(V),
        "unigram": _bits_per_symbol(counted, measured, V, order=1),
        "trigram": _bits_per_symbol(counted, measured, V, order=3),
        "gzip": 8 * len(zlib.compress(text, 9)) / len(measured),
    }


def _bits_per_symbol(train: Tensor, val: Tensor, V: int, order: int) -> float:
    """Return the cost of val under an n-gram model, backed off by the method of Witten & Bell.

        p_n(x | context) = (count(context, x) + kinds(context) p_{n-1}(x | shorter)) / (count(context) + kinds(context))

    with kinds(context) the number of different symbols seen after a context, down to the uniform p_0 = 1 / V.

    Source: Witten & Bell, IEEE Transactions on Information Theory 37(4), 1991, method C.
    """
    probability = torch.full((len(val),), 1 / V, dtype=torch.float64)
    for n in range(1, order + 1):
        grams, gram_counts = torch.unique(_number_grams(train, n, V), return_counts=True)
        contexts, kinds = torch.unique_consecutive(grams // V, return_counts=True)
        totals = torch.zeros(len(contexts), dtype=torch.int64)
        totals.index_add_(0, torch.searchsorted(contexts, grams // V), gram_counts)
        asked = _number_grams(val, n, V)  # (N - n + 1,)
        count = _look_up(grams, gram_counts, asked)
        total = _look_up(contexts, totals, asked // V)
        kind = _look_up(contexts, kinds, asked // V)
        shorter = probability[n - 1 :]
        mixed = (count + kind * shorter) / (total + kind).clamp(min=1)
        probability[n - 1 :] = torch.where(total > 0, mixed, shorter)
    return float(-probability.log2().mean())


def _number_grams(ids: Tensor, n: int, V: int) -> Tensor:
    """Return one number for each run of n symbols, (N - n + 1,); dividing it by V drops the last symbol."""
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
