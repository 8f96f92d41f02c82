"""Activations in a page: of every cell, packed, and within a limit for the whole page.

Dimensions: L layers, T time, H hidden width, W cells that follow a property best.

A page of 5,000 characters and two layers of 384 has 23 million activations. Each is rounded to one of 32 levels;
DEFLATE packs the levels, which browsers unpack themselves, and base64 writes them as text. c is held for the whole
text, and all activations of the cells that follow a property best. The other activations of the other cells are held
for as many characters from the beginning of the text as the limit allows, the same number for all, so that every
activation of every cell can be chosen.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.inference.reading import Floats, Reading
from charlm.inspection.tracking import Tracking

NUM_LEVELS = 32

MAX_PAGE_BYTES = 4_900_000
"""Of a page, at most, unless a single character takes more."""

NUM_WHOLE = 18
"""W, at most: two cells for each property."""

OTHER_NAMES = "hifgo"
"""The activations beside c."""

Levels = NDArray[np.uint8]


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
    """

    layer: int
    cell: int
    tracks: str
    correlation: float
    chance: float
    scale: float


@dataclass(frozen=True)
class PackedActivations:
    """The activations of a page, each array packed by ``pack``.

    Attributes:
        num_chars: characters from the beginning for which all cells have an activation, by its name.
        layers: by name, an array (H, ``num_chars``) for each layer.
        whole: by name other than c, an array (W, T) of the first W cells of the list.
        num_whole: W.
    """

    num_chars: dict[str, int]
    layers: dict[str, list[bytes]]
    whole: dict[str, bytes]
    num_whole: int

    @property
    def num_bytes(self) -> int:
        """The size of all arrays."""
        return sum(map(len, self.whole.values())) + sum(len(each) for name in self.layers for each in self.layers[name])


def list_cells(reading: Reading, tracking: Tracking) -> list[CellEntry]:
    """Return an entry for every cell: the best of each property, the second best of each, ..., then the others."""
    c = reading.activations["c"]  # (L, T, H)
    entries = []
    for layer, cell in order_cells(tracking, c.shape[0], c.shape[2]):
        best = tracking.best(layer, cell)
        chance = float(tracking.chance[tracking.names.index(best.name)]) if best.name else 0.0
        scale = float(np.abs(c[layer, :, cell]).max())
        entries.append(CellEntry(layer, cell, best.name, best.correlation, chance, scale))
    return entries


def order_cells(tracking: Tracking, num_layers: int, num_cells: int) -> list[tuple[int, int]]:
    """Return all cells as (layer, cell), in the order of the list."""
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


def choose_limit(num_other_bytes: int) -> int:
    """Return the size of the packed activations in a page, at most; base64 makes them larger by a third.

    Args:
        num_other_bytes: size of everything else in the page.
    """
    return (MAX_PAGE_BYTES - num_other_bytes) * 3 // 4


def pack_activations(reading: Reading, cells: list[CellEntry], max_bytes: int) -> PackedActivations:
    """Return as much of all activations as a limit allows.

    Args:
        reading: the activations.
        cells: the list of all cells.
        max_bytes: size of the packed arrays, at most, unless a single character takes more.
    """
    levels = {name: [_round(name, layer) for layer in values] for name, values in reading.activations.items()}
    packed = _pack(levels, [], max_bytes)
    if min(packed.num_chars.values()) < len(reading.symbols):
        packed = _pack(levels, cells[:NUM_WHOLE], max_bytes)
    return packed


def _pack(levels: dict[str, list[Levels]], cells: list[CellEntry], max_bytes: int) -> PackedActivations:
    """Return all activations of some cells, then c of all cells, then the rest, as far as the limit allows."""
    rows = {name: [levels[name][each.layer][each.cell] for each in cells] for name in OTHER_NAMES if cells}
    whole = {name: pack(np.stack(each)) for name, each in rows.items()}
    packed = PackedActivations({}, {}, whole, len(cells))
    for names in ("c", OTHER_NAMES):
        left = max_bytes - packed.num_bytes
        length, arrays = _pack_beginning({name: levels[name] for name in names}, left)
        packed.layers.update(arrays)
        packed.num_chars.update(dict.fromkeys(names, length))
    return packed


def _pack_beginning(levels: dict[str, list[Levels]], max_bytes: int) -> tuple[int, dict[str, list[bytes]]]:
    """Return how many characters of some activations fit a limit, at least 1, and these packed."""
    length = next(iter(levels.values()))[0].shape[1]
    while True:
        arrays = {name: [pack(layer[:, :length]) for layer in layers] for name, layers in levels.items()}
        num_bytes = sum(len(array) for layers in arrays.values() for array in layers)
        if num_bytes <= max_bytes or length == 1:
            return length, arrays
        length = max(1, min(length - 1, int(length * max_bytes / num_bytes)))


def pack(levels: Levels) -> bytes:
    """Return an array of levels as a DEFLATE stream without a header, row by row."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)  # no row repeats another
    return packer.compress(levels.tobytes()) + packer.flush()


def bounds(name: str, scale: float) -> tuple[float, float]:
    """Return the least and the largest value that an activation of a cell can have."""
    if name == "c":
        return -scale, scale
    return (-1.0, 1.0) if name in "gh" else (0.0, 1.0)


def _round(name: str, values: Floats) -> Levels:
    """Return the levels of one activation in one layer, (H, T), from its values, (T, H)."""
    scales = np.abs(values).max(axis=0) if name == "c" else np.ones(values.shape[1])  # (H,)
    limits = np.array([bounds(name, float(scale)) for scale in scales])  # (H, 2)
    span = limits[:, 1] - limits[:, 0]
    shares = (values.T - limits[:, :1]) / np.where(span == 0, 1.0, span)[:, None]  # (H, T)
    levels: Levels = (shares * (NUM_LEVELS - 1)).round().clip(0, NUM_LEVELS - 1).astype(np.uint8)
    return levels
