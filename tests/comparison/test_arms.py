"""The arms: exact counts, and widths that are closest to the budget."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.comparison.arms import SIZES, Arm, Match, plan_arms, solve_width
from charlm.config import ModelConfig
from charlm.errors import InputError
from charlm.model import CharLM
from charlm.training.estimates import count_parameters

MATCHES = sorted(SIZES)


@given(
    match=st.sampled_from(MATCHES), budget=st.integers(1, 10**8), vocabulary_size=st.integers(1, 300),
    embed_size=st.integers(1, 100), num_layers=st.integers(1, 6),
)  # fmt: skip
def test_no_other_width_comes_closer(
    match: Match, budget: int, vocabulary_size: int, embed_size: int, num_layers: int
) -> None:
    """No other width is closer to the budget, and the smaller of two equally close ones is chosen."""
    arm = Arm(num_layers, 1, vocabulary_size, embed_size, match, budget)

    def distance(width: int) -> int:
        return abs(replace(arm, hidden_size=width).size - budget)

    try:
        width = solve_width(arm).hidden_size
    except InputError:
        assert arm.size > budget
        return
    assert arm.size <= budget
    assert distance(width) <= distance(width + 1)
    assert width == 1 or distance(width) < distance(width - 1)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_counts_are_those_of_the_model(num_layers: int) -> None:
    """The parameter counts of an arm equal those of the model."""
    arm = Arm(num_layers, 13, 11, 5, "parameters", 1)
    counted = count_parameters(ModelConfig(num_layers=num_layers, hidden_size=13, embed_size=5), 11)
    assert arm.num_parameters == counted["whole"]
    assert arm.parts == {
        "embedding": counted["embedding"],
        "layers": sum(count for part, count in counted.items() if part.startswith("layer ")),
        "output": counted["output"],
    }


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_num_macs_is_that_of_the_model(num_layers: int) -> None:
    """One character takes one MAC for each weight of a matrix, except the input weights of the first layer."""
    model = CharLM(11, num_layers=num_layers, hidden_size=13, embed_size=5, dropout=0.0)
    matrices = [weight for name, weight in model.named_parameters() if weight.dim() == 2 and "embedding" not in name]
    expected = sum(weight.numel() for weight in matrices) - 4 * 13 * 5
    assert Arm(num_layers, 13, 11, 5, "compute", 1).num_macs == expected


def test_arms_state_their_mismatch() -> None:
    """The mismatch of an arm is its relative difference to the budget."""
    arms = plan_arms([1, 2, 3], "parameters", [100_000], 65, 32)
    assert [arm.num_layers for arm in arms] == [1, 2, 3]
    assert arms[0].hidden_size > arms[1].hidden_size > arms[2].hidden_size
    assert all(abs(arm.mismatch) < 0.02 for arm in arms)
    assert all(arm.mismatch == pytest.approx(arm.num_parameters / 100_000 - 1) for arm in arms)


def test_arms_are_grouped_by_budget() -> None:
    """The arms are ordered by budget, then by depth."""
    arms = plan_arms([1, 2], "width", [8, 16], 65, 32)
    assert [(arm.budget, arm.num_layers) for arm in arms] == [(8, 1), (8, 2), (16, 1), (16, 2)]
    assert [arm.hidden_size for arm in arms] == [8, 8, 16, 16]


@pytest.mark.parametrize(
    ("match", "budget", "message"),
    [
        ("parameters", 560, "560 parameters is too small for a depth of 3, which needs"),
        ("compute", 60, "60 MACs per character is too small for a depth of 1, which needs 69 at"),
    ],
)
def test_budget_too_small(match: Match, budget: int, message: str) -> None:
    """If a budget is below the size at width 1, the error gives the depth and that size."""
    with pytest.raises(InputError, match=message):
        plan_arms([1, 3], match, [budget], 65, 6)
