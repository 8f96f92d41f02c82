"""The arms of a comparison: the width at which each depth is as large as the others.

Symbols: V vocabulary, E embedding, H hidden width, L layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from charlm.errors import InputError

Match = Literal["parameters", "width", "compute"]
"""What all arms have the same of."""


@dataclass(frozen=True)
class Arm:
    """One depth of a comparison at one size.

    Attributes:
        num_layers: L.
        hidden_size: H, the width that comes closest to the budget.
        vocabulary_size: V.
        embed_size: E.
        match: what the budget counts.
        budget: how much of it was asked for.
    """

    num_layers: int
    hidden_size: int
    vocabulary_size: int
    embed_size: int
    match: Match
    budget: int

    @property
    def parts(self) -> dict[str, int]:
        """The number of parameters of each part."""
        V, E, H, L = self.vocabulary_size, self.embed_size, self.hidden_size, self.num_layers
        first_layer = 4 * H * (E + H + 1)
        upper_layers = (L - 1) * 4 * H * (H + H + 1)
        return {"embedding": V * E, "layers": first_layer + upper_layers, "output": V * (H + 1)}

    @property
    def num_parameters(self) -> int:
        """Every trained parameter: embedding, LSTM layers, output projection."""
        return sum(self.parts.values())

    @property
    def num_products(self) -> int:
        """Multiply-adds of one character on the way forward; training takes three times as many.

        The first layer's input costs none, for W times the embedding is a table that is looked up.
        """
        V, H, L = self.vocabulary_size, self.hidden_size, self.num_layers
        return 4 * H * H + (L - 1) * 4 * H * (H + H) + V * H

    @property
    def size(self) -> int:
        """What the arm has of that which is matched."""
        return SIZES[self.match](self)

    @property
    def mismatch(self) -> float:
        """How far the arm is from the budget, as a share of it; positive above."""
        return self.size / self.budget - 1


SIZES: dict[Match, Callable[[Arm], int]] = {
    "parameters": lambda arm: arm.num_parameters,
    "width": lambda arm: arm.hidden_size,
    "compute": lambda arm: arm.num_products,
}
"""How each kind of budget is counted; every one grows with the width."""

UNITS: dict[Match, str] = {
    "parameters": "parameters",
    "width": "hidden units a layer",
    "compute": "multiply-adds a character",
}
"""What each kind of budget is counted in."""


def solve_width(arm: Arm) -> Arm:
    """Return an arm with the width whose size is closest to its budget, the smaller of two as close.

    Raises:
        InputError: not even a width of 1 is within the budget.
    """

    def size(hidden_size: int) -> int:
        return replace(arm, hidden_size=hidden_size).size

    if size(1) > arm.budget:
        raise InputError(
            f"a budget of {arm.budget:,} {UNITS[arm.match]} is too small for a depth of {arm.num_layers}, which has "
            f"{size(1):,} at width 1. Raise --budget."
        )
    low, high = 1, 2
    while size(high) <= arm.budget:
        low, high = high, 2 * high
    while high - low > 1:  # size(low) <= budget < size(high)
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= arm.budget else (low, middle)
    return replace(arm, hidden_size=low if arm.budget - size(low) <= size(high) - arm.budget else high)


def plan_arms(
    depths: Sequence[int], match: Match, budgets: Sequence[int], vocabulary_size: int, embed_size: int
) -> list[Arm]:
    """Return an arm for each budget and depth, the depths of a budget side by side.

    Raises:
        InputError: a budget is too small for a depth.
    """
    return [
        solve_width(Arm(num_layers, 1, vocabulary_size, embed_size, match, budget))
        for budget in budgets
        for num_layers in depths
    ]
