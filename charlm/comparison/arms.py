"""The arms of a comparison: the width at which each depth has as many parameters as the others.

Symbols: V vocabulary, E embedding, H hidden width, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from charlm.errors import InputError

COUNTED = "every trained parameter: embedding, LSTM layers, output projection"
"""What a number of parameters counts."""


@dataclass(frozen=True)
class Arm:
    """One depth of a comparison.

    Attributes:
        num_layers: L.
        hidden_size: H, the width that comes closest to the budget.
        num_parameters: how many parameters that gives, exactly.
        budget: how many were asked for.
    """

    num_layers: int
    hidden_size: int
    num_parameters: int
    budget: int

    @property
    def mismatch(self) -> float:
        """How far the arm is from the budget, as a share of it; positive above."""
        return self.num_parameters / self.budget - 1


def count_parameters(vocabulary_size: int, embed_size: int, hidden_size: int, num_layers: int) -> int:
    """Return the number of parameters of a model, all at least 1."""
    V, E, H, L = vocabulary_size, embed_size, hidden_size, num_layers
    embedding = V * E
    first_layer = 4 * H * (E + H + 1)
    upper_layers = (L - 1) * 4 * H * (H + H + 1)
    output = V * (H + 1)
    return embedding + first_layer + upper_layers + output


def solve_hidden_size(budget: int, vocabulary_size: int, embed_size: int, num_layers: int) -> int:
    """Return the width whose number of parameters is closest to a budget, the smaller of two as close.

    Raises:
        InputError: not even a width of 1 is within the budget.
    """

    def count(hidden_size: int) -> int:
        return count_parameters(vocabulary_size, embed_size, hidden_size, num_layers)

    if count(1) > budget:
        raise InputError(
            f"a budget of {budget:,} parameters is too small for {num_layers} layers, which have {count(1):,} at "
            "width 1. Raise --budget, or lower model.embed_size."
        )
    low, high = 1, 2
    while count(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:  # count(low) <= budget < count(high)
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low if budget - count(low) <= count(high) - budget else high


def plan_arms(depths: Sequence[int], budget: int, vocabulary_size: int, embed_size: int) -> list[Arm]:
    """Return an arm for each depth.

    Raises:
        InputError: the budget is too small for a depth.
    """
    arms = []
    for num_layers in depths:
        hidden_size = solve_hidden_size(budget, vocabulary_size, embed_size, num_layers)
        num_parameters = count_parameters(vocabulary_size, embed_size, hidden_size, num_layers)
        arms.append(Arm(num_layers, hidden_size, num_parameters, budget))
    return arms
