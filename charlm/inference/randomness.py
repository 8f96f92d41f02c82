"""Random numbers for sampling: an independent stream for each sample.

Dimensions: B samples.
"""

import secrets
from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator, Philox
from torch import Tensor

from charlm.errors import ArgumentError

MAX_SEED = 2**63 - 1


def random_seed() -> int:
    """Return a seed from the operating system's source of randomness."""
    return secrets.randbelow(MAX_SEED + 1)


class UniformStreams:
    """A stream of uniform random numbers for each of B samples.

    The numbers of a sample depend only on the seed and on the sample's index, not on the other samples, nor on how many
    numbers are drawn at a time.

    Args:
        seed: 0 to ``MAX_SEED``.
        indices: of the samples, each at least 0.

    Raises:
        ArgumentError: the seed is out of range.

    Source: Salmon et al., SC 2011: Philox, a generator whose key selects one of 2^128 independent streams.
    """

    def __init__(self, seed: int, indices: Sequence[int]) -> None:
        if not 0 <= seed <= MAX_SEED:
            raise ArgumentError("seed", f"expected a whole number from 0 to {MAX_SEED}, got {seed}.")
        self._streams = [Generator(Philox(key=np.array([seed, index], dtype=np.uint64))) for index in indices]

    def draw(self, length: int) -> Tensor:
        """Return the next numbers in [0, 1) of each sample, (length, B), float64."""
        return torch.from_numpy(np.stack([stream.random(length) for stream in self._streams], axis=1))
