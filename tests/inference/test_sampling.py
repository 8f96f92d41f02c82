"""How the next character is chosen."""

import math

import pytest
import torch
from torch import Tensor

from charlm.config import SampleConfig
from charlm.errors import ArgumentError
from charlm.inference.sampling import Sampling

LOGITS = torch.tensor([2.0, -1.0, 0.5, 1.0, -40.0])


def draw(choice: Sampling, logits: Tensor = LOGITS, num_draws: int = 20_000) -> Tensor:
    """Return the frequencies of symbols among many draws from the same logits, (V,)."""
    uniforms = torch.rand(num_draws, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ids = choice.choose(logits.expand(num_draws, -1), uniforms)
    return torch.bincount(ids, minlength=len(logits)) / num_draws


def support(choice: Sampling, logits: Tensor = LOGITS) -> list[int]:
    """Return the symbols that are drawn at all."""
    return draw(choice, logits, 2000).nonzero().flatten().tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_frequencies_follow_the_softmax(temperature: float) -> None:
    """Symbols are drawn by the softmax of logits / temperature, within 5 standard deviations of 20,000 draws."""
    expected = (LOGITS.double() / temperature).softmax(dim=0)
    bound = 5 * (expected * (1 - expected) / 20_000).sqrt() + 1e-9
    assert ((draw(Sampling(temperature)) - expected).abs() <= bound).all()


@pytest.mark.parametrize("temperature", [0.0, 1e-6, 1e-300, 5e-324])
def test_no_temperature_takes_the_likeliest(temperature: float) -> None:
    """Temperature 0 is the argmax of every row, and a tiny one is the same without overflow."""
    logits = torch.tensor([[1.0, 3.0, 2.0], [1e4, -1e4, 0.0], [0.0, 0.0, 1.0]])
    assert Sampling(temperature).choose(logits, torch.rand(3, dtype=torch.float64)).tolist() == [1, 0, 2]


@pytest.mark.parametrize(("top_k", "kept"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (99, None)])
def test_top_k_keeps_the_likeliest(top_k: int, kept: list[int] | None) -> None:
    """Only the k likeliest are drawn, with their shares in proportion; more than there are is all."""
    shares = draw(Sampling(1.0, top_k=top_k))
    assert shares.nonzero().flatten().tolist() == (kept or [0, 1, 2, 3])
    expected = torch.full_like(LOGITS, -torch.inf)
    expected[kept or slice(None)] = LOGITS[kept or slice(None)]
    assert (shares - expected.softmax(dim=0)).abs().max() < 0.02


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_top_k_keeps_no_more_where_symbols_tie(top_k: int) -> None:
    """Among equally likely symbols still only k are drawn."""
    assert len(support(Sampling(1.0, top_k=top_k), torch.zeros(5))) == top_k


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1e-9, [1]), (0.49, [1]), (0.51, [1, 3]), (0.74, [1, 3]), (0.76, [0, 1, 3]), (0.88, [0, 1, 2, 3]), (1.0, None)],
)
def test_top_p_keeps_the_likeliest(top_p: float, kept: list[int] | None) -> None:
    """The fewest likeliest symbols that together reach top_p are drawn, at least one, all of them at 1."""
    logits = torch.tensor([0.125, 0.5, 0.0625, 0.25, 0.0625]).log()
    found = support(Sampling(1.0, top_p=top_p), logits)
    if top_p == 0.88:  # either of the two that tie for the fourth place
        assert len(found) == 4
    else:
        assert found == (kept or [0, 1, 2, 3, 4])


@pytest.mark.parametrize(("top_p", "num_kept"), [(0.24, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_top_p_reached_exactly_is_enough(top_p: float, num_kept: int) -> None:
    """Of four equal symbols as many are kept as reach top_p, and not one more where they reach it exactly."""
    assert len(support(Sampling(1.0, top_p=top_p), torch.zeros(4))) == num_kept


def test_top_p_counts_what_top_k_left() -> None:
    """With both, the shares of top_p are those among the k likeliest, after the temperature."""
    logits = torch.tensor([0.4, 0.3, 0.3]).log()
    assert support(Sampling(1.0, top_p=0.5), logits) == [0, 1]
    assert support(Sampling(1.0, top_k=2, top_p=0.5), logits) == [0]
    assert support(Sampling(temperature=0.1, top_p=0.5), logits) == [0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", math.inf), ("temperature", math.nan), ("top_k", 0), ("top_k", -1),
        ("top_p", 0.0), ("top_p", 1.01), ("top_p", math.nan),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(name: str, value: float) -> None:
    """A setting out of its range is named with its value."""
    with pytest.raises(ArgumentError, match=f"^{name}: expected a .*number .*, got {value}\\.$"):
        Sampling(**{name: value})  # type: ignore[arg-type]  # the name is one of the fields


def test_the_uniform_number_inverts_the_cumulative_distribution() -> None:
    """The first symbol whose cumulative probability is above the number is chosen, never one of probability 0."""
    logits = torch.tensor([-torch.inf, 0.25, 0.5, -torch.inf, 0.25, -torch.inf])
    logits[torch.isfinite(logits)] = logits[torch.isfinite(logits)].log()
    logits = logits.masked_fill(logits.isinf(), -2000.0)
    below_1 = math.nextafter(1.0, 0.0)
    uniforms = torch.tensor([0.0, 0.2499, 0.2501, 0.7499, 0.7501, below_1], dtype=torch.float64)
    assert Sampling(1.0).choose(logits.expand(6, -1), uniforms).tolist() == [1, 1, 2, 2, 4, 4]
    assert Sampling(1.0, top_k=1).choose(logits.expand(6, -1), uniforms).tolist() == [2] * 6
    assert Sampling(1.0, top_p=0.5).choose(logits.expand(6, -1), uniforms).tolist() == [2] * 6


def test_the_defaults_are_those_of_a_configuration() -> None:
    """Python samples with the temperature that a configuration samples with."""
    assert Sampling() == Sampling(SampleConfig().temperature)
