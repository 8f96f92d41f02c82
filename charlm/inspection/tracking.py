"""What each cell seems to track: the correlation of its state with properties of the text, beside what chance gives.

Dimensions: T time, L layers, H hidden width, P properties.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from charlm.inference.reading import Floats, Reading
from charlm.inspection.properties import measure_properties

NUM_SHIFTS = 100
"""Shifted copies of a property, each at another random distance."""

CHANCE_QUANTILE = 0.95
"""In this fraction of the shifted copies, no cell of the whole model reaches the level of chance."""

SEED = 0

BYTE_LETTER = "x"
"""Stands for a byte that is not ASCII: nearly always a part of a letter."""


class Tracked(NamedTuple):
    """The property that a cell follows most.

    Attributes:
        name: of the property; empty if none exceeds chance.
        correlation: of the cell's state with it, -1 to 1.
    """

    name: str
    correlation: float


@dataclass(frozen=True)
class Tracking:
    """How the cell states follow the properties of a text.

    Attributes:
        names: the properties that vary within the text, P of them.
        correlation: Pearson's r of each property and each cell state, (P, L, H); 0 for a cell that does not vary.
        chance: for each property, the size of r that the best cell of the model reaches by chance, (P,).
    """

    names: list[str]
    correlation: Floats
    chance: Floats

    def best(self, layer: int, cell: int) -> Tracked:
        """Return the property whose r, in units of its chance, is the largest for a cell; see ``Tracked``."""
        correlation = self.correlation[:, layer, cell]
        if not self.names:
            return Tracked("", 0.0)
        place = int((np.abs(correlation) / self.chance).argmax())
        exceeds = abs(correlation[place]) > self.chance[place]
        return Tracked(self.names[place] if exceeds else "", float(correlation[place]))


def track_properties(reading: Reading, level: str) -> Tracking:
    """Return the correlation of the cell states c with each property of the text, and its level of chance.

    A slow cell and a slow property correlate on any short text, so the level of chance is measured on copies of the
    property that are shifted around the end of the text by a random distance: they vary as the property does, but say
    nothing about the text at their new places. For each copy, the largest size of r among all cells of the model
    counts; the level of chance is the 95 % quantile of these.

    Args:
        reading: of at least 2 characters.
        level: ``char`` or ``byte``.
    """
    c = reading.activations["c"]  # (L, T, H)
    states = _standardize(np.moveaxis(c, 1, 0).reshape(c.shape[1], -1))  # (T, L H)
    text = "".join(symbol if level == "char" or ord(symbol) < 0x80 else BYTE_LETTER for symbol in reading.symbols)
    properties = measure_properties(text)
    correlation = np.zeros((len(properties), c.shape[0], c.shape[2]), dtype=np.float32)
    chance = np.zeros(len(properties), dtype=np.float32)
    for place, values in enumerate(properties.values()):
        standard = _standardize(values[:, None])[:, 0]  # (T,)
        correlation[place] = (standard @ states).reshape(c.shape[0], c.shape[2])
        chance[place] = _measure_chance(standard, states)
    return Tracking(list(properties), correlation, chance)


def _measure_chance(values: Floats, states: Floats) -> float:
    """Return the level of chance of a standardized property (T,) for standardized states (T, L H)."""
    num_chars = len(values)
    margin = max(1, num_chars // 10)  # a copy that is shifted by a few characters is nearly the property itself
    shifts = np.random.default_rng(SEED).integers(margin, num_chars - margin, NUM_SHIFTS, endpoint=True)
    shifted = np.stack([np.roll(values, shift) for shift in shifts])  # (shifts, T)
    return float(np.quantile(np.abs(shifted @ states).max(axis=1), CHANCE_QUANTILE))


def _standardize(columns: Floats) -> Floats:
    """Return columns (T, N) with mean 0 and length 1, so that a product of two is their r; 0 for a constant one."""
    centred = columns - columns.mean(axis=0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(axis=0))
    is_constant = length <= 1e-6 * np.sqrt(len(columns)) * np.abs(columns).max(axis=0).clip(min=1e-30)
    standard: Floats = (centred / np.where(is_constant, np.inf, length)).astype(np.float32)
    return standard
