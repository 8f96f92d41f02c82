"""Verbatim matches with the training text: how much of a text was copied.

Dimensions: N characters of the training text, n characters of a text that is compared with it.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from charlm.inference.reading import Integers
from charlm.text.vocabulary import Vocabulary

PIECE_LENGTH = 1 << 23
"""Characters of the training text that are indexed at a time: up to 168 MB in text with 4 bytes a character."""


def find_matches(train: Tensor, vocabulary: Vocabulary, texts: Sequence[Tensor]) -> list[Integers]:
    """Return, for each place of each text, the length of the longest match with the training text that begins there.

    Args:
        train: the ids of the training text, (N,); it is indexed in overlapping pieces, so any length fits the memory.
        vocabulary: of all ids.
        texts: the ids of the texts, (n,) each.

    Returns:
        The lengths in characters (or bytes, in a byte vocabulary), (n,) for each text.
    """
    from pydivsufsort import divsufsort

    longest = [np.zeros(len(text), dtype=np.int64) for text in texts]
    symbols = [[vocabulary.to_bytes(one) for one in text.reshape(-1, 1)] for text in texts]
    overlap = max(map(len, texts), default=0)  # so that a match is whole in one piece at least
    for start in range(0, len(train), PIECE_LENGTH):
        piece = vocabulary.to_bytes(train[start : start + PIECE_LENGTH + overlap])
        suffixes = divsufsort(piece)
        for text, lengths in zip(symbols, longest, strict=True):
            np.maximum(lengths, _search(piece, suffixes, text), out=lengths)
    return longest


def cover_matches(lengths: Integers) -> Integers:
    """Return, for each place, the length of the longest match that contains it, (n,), from ``find_matches``."""
    covered = np.zeros_like(lengths)
    for start in lengths.argsort(kind="stable").tolist():  # longer matches are written over shorter ones
        covered[start : start + lengths[start]] = lengths[start]
    return covered


def _search(piece: bytes, suffixes: Integers, symbols: list[bytes]) -> Integers:
    """Return the length of the longest match at each place of a text, given the suffix array of a piece.

    UTF-8 cannot match in the middle of a character. Where a match of n characters begins, one of n - 1 begins at the
    next place, so about two searches for each place are enough.
    """
    from pydivsufsort import sa_search

    whole = b"".join(symbols)
    offsets = np.cumsum([0, *map(len, symbols)]).tolist()
    lengths, length = [], 0
    for start in range(len(symbols)):
        length = max(0, length - 1)
        while start + length < len(symbols):
            count, _ = sa_search(piece, suffixes, whole[offsets[start] : offsets[start + length + 1]])
            if not count:
                break
            length += 1
        lengths.append(length)
    return np.array(lengths, dtype=np.int64)
