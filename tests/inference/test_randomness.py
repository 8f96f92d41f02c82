"""Random numbers for sampling: what determines them, and how they are distributed."""

import pytest
import torch

from charlm.errors import InputError
from charlm.inference.randomness import MAX_SEED, UniformStreams, random_seed


def numbers(seed: int, *indices: int, length: int = 600) -> torch.Tensor:
    """Return the first numbers of some streams, (length, B)."""
    return UniformStreams(seed, indices).draw(length)


@pytest.mark.parametrize("seed", [0, 1, 2**32, MAX_SEED])
def test_a_stream_depends_on_the_seed_and_the_index(seed: int) -> None:
    """A stream is the same alone and with others, and differs from every other stream."""
    together = numbers(seed, 0, 1, 2, 2**40)
    for place, index in enumerate((0, 1, 2, 2**40)):
        assert torch.equal(numbers(seed, index)[:, 0], together[:, place])
    assert len(set(together.flatten().tolist())) == together.numel()
    assert not set(together.flatten().tolist()) & set(numbers(seed ^ 1, 0, 1, 2).flatten().tolist())


@pytest.mark.parametrize("lengths", [[1] * 600, [7, 593], [1, 2, 597]], ids=len)
def test_the_block_does_not_change_the_numbers(lengths: list[int]) -> None:
    """The numbers are the same however many are drawn at a time."""
    streams = UniformStreams(3, (0, 5))
    assert torch.equal(torch.cat([streams.draw(length) for length in lengths]), numbers(3, 0, 5))


def test_numbers_are_uniform_and_independent() -> None:
    """Mean, variance and correlation between streams are those of independent uniform numbers, within 5 deviations."""
    drawn = numbers(1, *range(20), length=5000)
    assert drawn.dtype == torch.float64
    assert 0 <= drawn.min() < drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 5 * (1 / 12 / 100_000) ** 0.5
    assert abs(drawn.var() - 1 / 12) < 5 * (1 / 180 / 100_000) ** 0.5
    correlations = torch.corrcoef(drawn.T) - torch.eye(20, dtype=torch.float64)
    assert correlations.abs().max() < 5 / 5000**0.5


def test_the_numbers_of_a_seed_are_fixed() -> None:
    """Seed 0 gives these numbers, on every machine and in every version."""
    expected = [
        [0.011546754286331562, 0.8133540609793564],
        [0.24154919656271812, 0.7513314251083365],
    ]
    assert numbers(0, 0, 1, length=2).tolist() == expected


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    """A seed that the generator cannot hold is named."""
    with pytest.raises(InputError, match=f"seed: expected a whole number from 0 to {MAX_SEED}, got {seed}"):
        UniformStreams(seed, [0])


def test_random_seeds_differ() -> None:
    """Random seeds are in range, and not the same twice."""
    first, second = random_seed(), random_seed()
    assert first != second
    assert 0 <= min(first, second) <= max(first, second) <= MAX_SEED
