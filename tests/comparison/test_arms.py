"""The arms: exact counts, and widths that no other width beats."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.comparison.arms import SIZES, Arm, Match, plan_arms, solve_width
from charlm.errors import InputError
from charlm.model import CharLM
from charlm.training.dry_run import count_parameters

MATCHES = sorted(SIZES)


@given(
    match=st.sampled_from(MATCHES), budget=st.integers(1, 10**8), vocabulary_size=st.integers(1, 300),
    embed_size=st.integers(1, 100), num_layers=st.integers(1, 6),
)  # fmt: skip
def test_no_other_width_comes_closer(
    match: Match, budget: int, vocabulary_size: int, embed_size: int, num_layers: int
) -> None:
    """The solved width is as close to the budget as any, the smaller of two as close; or the budget is too small."""
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
    """The parts of an arm are those of the model that it describes, parameter for parameter."""
    arm = Arm(num_layers, 13, 11, 5, "parameters", 1)
    counted = count_parameters(CharLM(11, num_layers=num_layers, hidden_size=13, embed_size=5, dropout=0.0))
    assert arm.num_parameters == counted["whole"]
    assert arm.parts == {
        "embedding": counted["embedding"],
        "layers": sum(count for part, count in counted.items() if part.startswith("layer ")),
        "output": counted["output"],
    }


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_products_are_those_of_the_model(num_layers: int) -> None:
    """The multiply-adds of a character are one for each weight of a matrix, without the looked-up first input."""
    model = CharLM(11, num_layers=num_layers, hidden_size=13, embed_size=5, dropout=0.0)
    matrices = [weight for name, weight in model.named_parameters() if weight.dim() == 2 and "embedding" not in name]
    expected = sum(weight.numel() for weight in matrices) - 4 * 13 * 5
    assert Arm(num_layers, 13, 11, 5, "compute", 1).num_products == expected


def test_arms_state_their_mismatch() -> None:
    """Every arm says how large it is and how far that is from the budget."""
    arms = plan_arms([1, 2, 3], "parameters", [100_000], 65, 32)
    assert [arm.num_layers for arm in arms] == [1, 2, 3]
    assert arms[0].hidden_size > arms[1].hidden_size > arms[2].hidden_size
    assert all(abs(arm.mismatch) < 0.02 for arm in arms)
    assert all(arm.mismatch == pytest.approx(arm.num_parameters / 100_000 - 1) for arm in arms)


def test_budgets_stand_together() -> None:
    """The depths of a budget follow one another, budget by budget."""
    arms = plan_arms([1, 2], "width", [8, 16], 65, 32)
    assert [(arm.budget, arm.num_layers) for arm in arms] == [(8, 1), (8, 2), (16, 1), (16, 2)]
    assert [arm.hidden_size for arm in arms] == [8, 8, 16, 16]


@pytest.mark.parametrize(
    ("match", "budget", "message"),
    [
        ("parameters", 560, "560 parameters is too small for a depth of 3, which has"),
        ("compute", 60, "60 multiply-adds a character is too small for a depth of 1, which has 69 at"),
    ],
)
def test_budget_too_small(match: Match, budget: int, message: str) -> None:
    """A budget below width 1 names the depth and the least it takes."""
    with pytest.raises(InputError, match=message):
        plan_arms([1, 3], match, [budget], 65, 6)
