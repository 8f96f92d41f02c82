"""Activations of a page: packed, within a limit, and every one of them to be chosen."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from charlm.inspection.encoding import (
    NUM_LEVELS,
    NUM_WHOLE,
    OTHER_NAMES,
    PackedActivations,
    bounds,
    list_cells,
    order_cells,
    pack_activations,
)
from charlm.inspection.inspection import Inspection


def pack(inspection: Inspection, max_bytes: int) -> PackedActivations:
    """Return the activations of an inspection within a limit."""
    return pack_activations(inspection.reading, list_cells(inspection.reading, inspection.tracking), max_bytes)


def unpack(packed: bytes, num_chars: int) -> np.ndarray:
    """Return the levels, a row for each cell."""
    return np.frombuffer(zlib.decompress(packed, -zlib.MAX_WBITS), np.uint8).reshape(-1, num_chars)


def read_value(levels: np.ndarray, name: str, scale: float) -> np.ndarray:
    """Return the values of levels, as the script of the page does."""
    low, high = bounds(name, scale)
    return low + levels * ((high - low) / (NUM_LEVELS - 1))


def test_levels_hold_the_values(inspection: Inspection) -> None:
    """Where all fits, every activation of every cell is what it was, but for half a level; nothing is there twice."""
    packed = pack(inspection, 10**7)
    assert (packed.num_whole, packed.whole) == (0, {})
    assert packed.num_chars == dict.fromkeys("chifgo", 5000)
    cells = list_cells(inspection.reading, inspection.tracking)
    assert {(cell.layer, cell.cell) for cell in cells} == {(layer, cell) for layer in (0, 1) for cell in range(12)}
    for cell in cells:
        for name in "chifgo":
            levels = unpack(packed.layers[name][cell.layer], 5000)[cell.cell]
            low, high = bounds(name, cell.scale)
            values = inspection.reading.activations[name][cell.layer, :, cell.cell]
            assert read_value(levels, name, cell.scale) == pytest.approx(
                values, abs=0.501 * (high - low) / (NUM_LEVELS - 1)
            )


def test_the_limit_is_kept(inspection: Inspection) -> None:
    """First the best cells go in whole, then c of all cells, and the rest as far as the limit allows."""
    most = pack(inspection, 10**7).num_bytes
    packed = pack(inspection, most * 9 // 10)
    assert most * 8 // 10 < packed.num_bytes <= most * 9 // 10
    assert packed.num_whole == NUM_WHOLE == 18
    assert packed.num_chars["c"] == 5000
    lengths = {packed.num_chars[name] for name in OTHER_NAMES}
    assert len(lengths) == 1
    assert 0 < lengths.pop() < 5000
    length = packed.num_chars["f"]
    for rank, cell in enumerate(list_cells(inspection.reading, inspection.tracking)):
        beginning = unpack(packed.layers["f"][cell.layer], length)[cell.cell]
        values = inspection.reading.activations["f"][cell.layer, :, cell.cell]
        assert read_value(beginning, "f", 1.0) == pytest.approx(values[:length], abs=0.501 / (NUM_LEVELS - 1))
        if rank < NUM_WHOLE:
            whole = unpack(packed.whole["f"], 5000)[rank]
            assert read_value(whole, "f", 1.0) == pytest.approx(values, abs=0.501 / (NUM_LEVELS - 1))


def test_a_tiny_limit_leaves_one_character(inspection: Inspection) -> None:
    """Every activation of every cell is there at one character at least."""
    packed = pack(inspection, 1)
    assert packed.num_chars == dict.fromkeys("chifgo", 1)
    assert unpack(packed.layers["o"][1], 1).shape == (12, 1)


def test_the_best_of_each_property_comes_first(inspection: Inspection) -> None:
    """The order is the best cell of each property, the second best of each, and at last those that follow nothing."""
    correlation = np.zeros((2, 1, 5), dtype=np.float32)
    correlation[0, 0] = [0.5, -0.9, 0.0, 0.7, 0.1]
    correlation[1, 0] = [0.0, 0.1, 0.6, 0.0, 0.1]
    tracking = replace(inspection.tracking, names=["x", "y"], correlation=correlation, chance=np.array([0.2, 0.2]))
    assert order_cells(tracking, 1, 5) == [(0, 1), (0, 2), (0, 3), (0, 0), (0, 4)]


def test_a_cell_without_state_is_packed(inspection: Inspection) -> None:
    """A cell whose c is always 0 has a scale of 0, and its levels are 0."""
    c = np.zeros((1, 3, 1), dtype=np.float32)
    reading = replace(inspection.reading, symbols=["a"] * 3, activations=dict.fromkeys("chifgo", c))
    tracking = replace(inspection.tracking, names=[], correlation=np.zeros((0, 1, 1)), chance=np.zeros(0))
    [cell] = list_cells(reading, tracking)
    assert cell.scale == 0
    levels = unpack(pack_activations(reading, [cell], 10**6).layers["c"][0], 3)
    assert read_value(levels, "c", cell.scale).tolist() == [[0, 0, 0]]
