"""The two ways to smooth an n-gram model: Witten-Bell and modified Kneser-Ney, both interpolated.

Both learn from the training text alone. ``count`` and ``total`` are occurrences, ``kinds(context)`` is the number of
different symbols seen after a context, and p_0 = 1 / V.

Dimensions: N symbols, V vocabulary, G different grams of n symbols.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from charlm.text.ngrams import Grams, Level, count_grams, make_level, sum_by_context

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""Discounts where a text has too few grams to estimate them: those of KenLM (``lmplz --discount_fallback``)."""


def witten_bell(ids: Tensor, order: int, V: int) -> Iterator[Level]:
    """Yield the levels of a Witten-Bell model of ids (N,).

        p_n(x | context) = (count(context, x) + kinds(context) p_{n-1}(x | shorter)) / (total(context) + kinds(context))

    Source: Witten & Bell, IEEE Transactions on Information Theory 37(4), 1991, method C.
    """
    for grams in count_grams(ids, order, V):
        kinds = sum_by_context(grams, torch.ones_like(grams.counts))
        yield make_level(grams, grams.counts, kinds, sum_by_context(grams, grams.counts) + kinds)


def kneser_ney(ids: Tensor, order: int, V: int) -> Iterator[Level]:
    """Yield the levels of an interpolated, modified Kneser-Ney model of ids (N,).

        p_n(x | context) = (count(context, x) - D(context, x) + kept(context) p_{n-1}(x | shorter)) / total(context)

    with kept(context) = sum_y D(context, y), and one discount D for counts of 1, one for 2, one for 3 and more (see
    ``estimate_discounts``). At the highest order, ``count`` is occurrences; below it, the number of different symbols
    seen before the gram, at least 1.

    Source: Chen & Goodman, Computer Speech and Language 13(4), 1999, section 3.
    """
    shorter: Grams | None = None
    for grams in count_grams(ids, order, V):
        if shorter is not None:
            # Only the first gram of the text can have no symbol before it.
            yield _discount(shorter, torch.bincount(grams.suffixes, minlength=len(shorter.numbers)).clamp(min=1))
        shorter = grams
    if shorter is not None:
        yield _discount(shorter, shorter.counts)


def estimate_discounts(counts: Tensor) -> tuple[float, float, float]:
    """Return the discounts of counts of 1, 2, and 3 or more, from how many of the counts (G,) are 1, 2, 3 and 4.

    Those are n_1 to n_4; with Y = n_1 / (n_1 + 2 n_2), D_k = k - (k + 1) Y n_{k+1} / n_k. If a D_k is not defined or
    not in (0, k], all three are ``FALLBACK_DISCOUNTS``.
    """
    n = [int((counts == k).sum()) for k in range(1, 5)]
    if min(n) == 0:
        return FALLBACK_DISCOUNTS
    Y = n[0] / (n[0] + 2 * n[1])
    one, two, three = (k - (k + 1) * Y * n[k] / n[k - 1] for k in (1, 2, 3))
    return (one, two, three) if min(one, two, three) > 0 else FALLBACK_DISCOUNTS


def _discount(grams: Grams, counts: Tensor) -> Level:
    discounts = torch.tensor((0.0, *estimate_discounts(counts)), dtype=torch.float64)[counts.clamp(max=3)]
    return make_level(grams, counts - discounts, sum_by_context(grams, discounts), sum_by_context(grams, counts))
