"""The arms of a comparison: for each depth, the width that matches the budget.

Symbols: V vocabulary, E embedding, H hidden width, L layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from charlm.errors import InputError

Match = Literal["parameters", "width", "compute"]
"""The quantity that is equal in all arms."""


@dataclass(frozen=True)
class Arm:
    """One depth of a comparison at one budget.

    Attributes:
        num_layers: L.
        hidden_size: H, the width whose size is closest to the budget.
        vocabulary_size: V.
        embed_size: E.
        match: the quantity that the budget limits.
        budget: the requested amount of it.
        num_chars: the requested characters to train on; None for the steps of the configuration.
    """

    num_layers: int
    hidden_size: int
    vocabulary_size: int
    embed_size: int
    match: Match
    budget: int
    num_chars: int | None = None

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
    def num_macs(self) -> int:
        """Multiply-accumulate operations (MACs) of the forward pass per character; training takes three times as many.

        The input projection of the first layer counts zero, because it is a table lookup.
        """
        V, H, L = self.vocabulary_size, self.hidden_size, self.num_layers
        return 4 * H * H + (L - 1) * 4 * H * (H + H) + V * H

    @property
    def size(self) -> int:
        """The amount of the matched quantity that the arm has."""
        return SIZES[self.match](self)

    @property
    def mismatch(self) -> float:
        """The relative difference of the size to the budget; positive if the size is larger."""
        return self.size / self.budget - 1


SIZES: dict[Match, Callable[[Arm], int]] = {
    "parameters": lambda arm: arm.num_parameters,
    "width": lambda arm: arm.hidden_size,
    "compute": lambda arm: arm.num_macs,
}
"""The size of an arm for each kind of budget; each increases with the width."""

UNITS: dict[Match, str] = {
    "parameters": "parameters",
    "width": "hidden units per layer",
    "compute": "MACs per character",
}
"""The unit of each kind of budget."""


def solve_width(arm: Arm) -> Arm:
    """Return the arm with the width whose size is closest to its budget; of two equally close widths, the smaller.

    Raises:
        InputError: the size at width 1 exceeds the budget.
    """

    def size(hidden_size: int) -> int:
        return replace(arm, hidden_size=hidden_size).size

    if size(1) > arm.budget:
        raise InputError(
            f"a budget of {arm.budget:,} {UNITS[arm.match]} is too small for a depth of {arm.num_layers}, which needs "
            f"{size(1):,} at width 1. Increase --budget."
        )
    low, high = 1, 2
    while size(high) <= arm.budget:
        low, high = high, 2 * high
    while high - low > 1:  # size(low) <= budget < size(high)
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= arm.budget else (low, middle)
    return replace(arm, hidden_size=low if arm.budget - size(low) <= size(high) - arm.budget else high)


def plan_arms(
    depths: Sequence[int],
    match: Match,
    budgets: Sequence[int],
    vocabulary_size: int,
    embed_size: int,
    lengths: Sequence[int] = (),
) -> list[Arm]:
    """Return one arm for each length, budget and depth, grouped by length and budget.

    Args:
        depths: numbers of layers.
        match: the quantity that is equal in all arms.
        budgets: amounts of it.
        vocabulary_size: of the text.
        embed_size: of all arms.
        lengths: characters to train on; if empty, the steps of the configuration.

    Raises:
        InputError: a budget is too small for a depth.
    """
    return [
        solve_width(Arm(num_layers, 1, vocabulary_size, embed_size, match, budget, num_chars))
        for num_chars in lengths or (None,)
        for budget in budgets
        for num_layers in depths
    ]
