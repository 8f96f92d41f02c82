"""The running loss along a text, and its most and least surprising passages.

Dimension: T characters.
"""

from typing import NamedTuple

import numpy as np

from charlm.inference.reading import Floats, Reading

PASSAGE_LENGTH = 40
NUM_PASSAGES = 5
RUNNING_LENGTH = 100
"""Characters whose mean is the running loss at the last of them."""


class Passage(NamedTuple):
    """A stretch of a text.

    Attributes:
        start: place of its first character, counted from 0.
        end: place after its last character.
        bits_per_char: its mean surprise.
    """

    start: int
    end: int
    bits_per_char: float


def running_loss(reading: Reading) -> Floats:
    """Return the mean surprise of the last 100 characters, or of as many as there are, in bits, (T - 1,)."""
    sums = np.concatenate([[0.0], np.cumsum(reading.surprise_bits[1:], dtype=np.float64)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - RUNNING_LENGTH)
    means: Floats = ((sums[ends] - sums[starts]) / (ends - starts)).astype(np.float32)
    return means


def find_passages(reading: Reading) -> tuple[list[Passage], list[Passage]]:
    """Return the most and the least surprising passages of 40 characters, at most five each; none overlaps another."""
    length = min(PASSAGE_LENGTH, len(reading.symbols) - 1)
    means = np.convolve(reading.surprise_bits[1:].astype(np.float64), np.full(length, 1 / length), mode="valid")
    order = means.argsort(kind="stable").tolist()
    return _take(means, order[::-1], length), _take(means, order, length)


def _take(means: np.ndarray, order: list[int], length: int) -> list[Passage]:
    """Return the first passages of an order that do not overlap; entry n of ``means`` begins at character n + 1."""
    taken: list[Passage] = []
    for place in order:
        if len(taken) < NUM_PASSAGES and all(abs(place + 1 - passage.start) >= length for passage in taken):
            taken.append(Passage(place + 1, place + 1 + length, float(means[place])))
    return taken
