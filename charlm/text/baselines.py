"""Baselines: the bits per symbol of simple predictors on the validation part.

docs/baselines.md describes each. Dimensions: N symbols, V vocabulary.
"""

import math
import zlib

from torch import Tensor

from charlm.text.ngrams import predict
from charlm.text.smoothing import kneser_ney, witten_bell
from charlm.text.vocabulary import Vocabulary

MAX_COUNTED = 4_000_000
"""Symbols of the training part that the n-gram models learn from, the last ones; this bounds time and memory."""

MAX_MEASURED = 2_000_000
"""Symbols of the validation part that the predictors are measured on, the first ones."""

KNESER_NEY_ORDER = 6
"""Symbols of a Kneser-Ney gram. A seventh gains 0.05 bits at most on five texts (docs/baselines.md)."""

DEFLATE_WINDOW = 1 << 15
"""Bytes that deflate looks back (RFC 1951), so no more of the training part can help it."""


def measure_baselines(train: Tensor, val: Tensor, vocabulary: Vocabulary) -> dict[str, float]:
    """Measure the predictors; no estimate uses the measured part.

    Args:
        train: ids to learn from, (N,).
        val: ids to predict, (N,), at least one.
        vocabulary: the symbols behind the ids.

    Returns:
        Bits per symbol of ``uniform`` (all symbols equally likely), ``unigram`` (by frequency), ``trigram``
        (Witten-Bell, two symbols of context), ``kneser_ney_6`` (modified Kneser-Ney, five symbols of context), ``gzip``
        (deflate on the validation text alone) and ``gzip_primed`` (deflate with the end of the training part as its
        preset dictionary).
    """
    V = len(vocabulary)
    counted, measured = train[-MAX_COUNTED:], val[:MAX_MEASURED]
    unigram, _, trigram = map(_mean_bits, predict(witten_bell(counted, 3, V), measured, V))
    *_, strongest = map(_mean_bits, predict(kneser_ney(counted, KNESER_NEY_ORDER, V), measured, V))
    text, before = vocabulary.to_bytes(measured), vocabulary.to_bytes(counted[-DEFLATE_WINDOW:])[-DEFLATE_WINDOW:]
    return {
        "uniform": math.log2(V),
        "unigram": unigram,
        "trigram": trigram,
        f"kneser_ney_{KNESER_NEY_ORDER}": strongest,
        "gzip": 8 * len(zlib.compress(text, 9)) / len(measured),
        "gzip_primed": 8 * _deflated_size(text, before) / len(measured),
    }


def _mean_bits(probability: Tensor) -> float:
    """Return the mean cost of symbols that had these probabilities, (N,)."""
    return float(probability.reciprocal().log2().mean())


def _deflated_size(text: bytes, dictionary: bytes) -> int:
    """Return the bytes of a zlib stream of the text, compressed with a preset dictionary."""
    packer = zlib.compressobj(9, zdict=dictionary)
    return len(packer.compress(text)) + len(packer.flush())
