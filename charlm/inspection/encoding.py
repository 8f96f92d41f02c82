"""Activations as text in a page: one character for each value, within a limit for the whole page.

Dimensions: L layers, T time, H hidden width.

A page of 5,000 characters and two layers of 384 would hold 23 million activations. It stays small in two ways. Each
value is rounded to one of 64 levels and written as one letter of the base64 alphabet, so that a script reads it by
its place. And the page holds the state c of every cell, but the gates, g and h of only as many cells as the limit
allows: first the cell that follows each property best, then the second best, and so on.
"""

from dataclasses import dataclass

import numpy as np

from charlm.inference.reading import Floats, Reading
from charlm.inspection.tracking import Tracking

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

MAX_CHARACTERS = 4_200_000
"""Activations of a page, at most; the rest of a page of 10,000 characters is smaller than 800 kB."""

OTHER_NAMES = "hifgo"
"""The activations beside c."""


@dataclass(frozen=True)
class CellEntry:
    """A cell of the page's list.

    Attributes:
        layer: counted from 0.
        cell: its number in the layer.
        tracks: the property that it follows; empty if none exceeds chance.
        correlation: with this property.
        chance: the level of chance of this property; 0 if there is none.
        scale: the largest size of its c.
        values: by name, T letters each; empty if the limit was reached before this cell.
    """

    layer: int
    cell: int
    tracks: str
    correlation: float
    chance: float
    scale: float
    values: dict[str, str]


def encode_cells(reading: Reading, tracking: Tracking, max_characters: int = MAX_CHARACTERS) -> list[CellEntry]:
    """Return an entry for every cell, in the order in which they fill the limit."""
    c = reading.activations["c"]  # (L, T, H)
    num_chars = c.shape[1]
    order = order_cells(tracking, c.shape[0], c.shape[2])
    num_states = min(len(order), max_characters // num_chars)
    num_others = (max_characters - num_states * num_chars) // (num_chars * len(OTHER_NAMES))
    entries = []
    for place, (layer, cell) in enumerate(order):
        best = tracking.best(layer, cell)
        scale = float(np.abs(c[layer, :, cell]).max())
        names = ("c" if place < num_states else "") + (OTHER_NAMES if place < num_others else "")
        values = {name: _encode(reading.activations[name][layer, :, cell], *_range(name, scale)) for name in names}
        chance = float(tracking.chance[tracking.names.index(best.name)]) if best.name else 0.0
        entries.append(CellEntry(layer, cell, best.name, best.correlation, chance, scale, values))
    return entries


def order_cells(tracking: Tracking, num_layers: int, num_cells: int) -> list[tuple[int, int]]:
    """Return all cells as (layer, cell): the best of each property, the second best of each, ..., then the others."""
    places: dict[tuple[int, int], tuple[int, float]] = {}
    for name in (*tracking.names, ""):
        followers = [
            (layer, cell, abs(best.correlation))
            for layer in range(num_layers)
            for cell in range(num_cells)
            if (best := tracking.best(layer, cell)).name == name
        ]
        followers.sort(key=lambda each: -each[2])
        for place, (layer, cell, size) in enumerate(followers):
            places[layer, cell] = (place if name else num_layers * num_cells, -size)
    return sorted(places, key=lambda each: (*places[each], each))


def decode(letters: str, low: float, high: float) -> Floats:
    """Return the values of ``_encode``, each at most half a level from what it was."""
    levels = np.array([ALPHABET.index(letter) for letter in letters], dtype=np.float32)
    return low + levels * ((high - low) / (len(ALPHABET) - 1))


def _range(name: str, scale: float) -> tuple[float, float]:
    """Return the least and the largest value that an activation can have."""
    if name == "c":
        return -scale, scale
    return (-1.0, 1.0) if name in "gh" else (0.0, 1.0)


def _encode(values: Floats, low: float, high: float) -> str:
    """Return one letter for each value between two limits."""
    share = (values.astype(np.float64) - low) / (high - low or 1.0)
    levels = (share * (len(ALPHABET) - 1)).round().astype(int).clip(0, len(ALPHABET) - 1)
    return "".join(ALPHABET[level] for level in levels.tolist())
