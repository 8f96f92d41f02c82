"""Random numbers for sampling: an independent stream for each sample.

Dimensions: B samples.
"""

import secrets
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.random import Generator, Philox
from torch import Tensor

from charlm.errors import ArgumentError

MAX_SEED = 2**63 - 1

BLOCK_LENGTH = 256
"""Numbers that a stream draws ahead; it affects the speed, not the numbers."""


def random_seed() -> int:
    """Return a seed from the operating system's source of randomness."""
    return secrets.randbelow(MAX_SEED + 1)


def draw_uniforms(seed: int, indices: Sequence[int]) -> Iterator[Tensor]:
    """Yield uniform random numbers in [0, 1), one for each sample at a time, (B,) float64, without end.

    The numbers of a sample depend only on the seed and on the sample's index, not on the other samples.

    Args:
        seed: 0 to ``MAX_SEED``.
        indices: of the samples, each at least 0.

    Raises:
        ArgumentError: the seed is out of range.

    Source: Salmon et al., SC 2011: Philox, a generator whose key selects one of 2^128 independent streams.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ArgumentError("seed", f"expected a whole number from 0 to {MAX_SEED}, got {seed}.")
    streams = [Generator(Philox(key=np.array([seed, index], dtype=np.uint64))) for index in indices]
    while True:
        block = np.stack([stream.random(BLOCK_LENGTH) for stream in streams], axis=1)
        yield from torch.from_numpy(block)
