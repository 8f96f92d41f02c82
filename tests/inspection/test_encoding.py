"""Activations as letters, within the limit of a page."""

from dataclasses import replace

import numpy as np
import pytest

from charlm.inspection.encoding import ALPHABET, decode, encode_cells, order_cells
from charlm.inspection.inspection import Inspection


def test_letters_hold_the_values(inspection: Inspection) -> None:
    """Every activation of every cell is what it was, but for half a level."""
    entries = encode_cells(inspection.reading, inspection.tracking)
    assert {(entry.layer, entry.cell) for entry in entries} == {(layer, cell) for layer in (0, 1) for cell in range(12)}
    for entry in entries:
        assert entry.values.keys() == {*"chifgo"}
        for name, letters in entry.values.items():
            high = entry.scale if name == "c" else 1.0
            low = 0.0 if name in "ifo" else -high
            values = inspection.reading.activations[name][entry.layer, :, entry.cell]
            assert decode(letters, low, high) == pytest.approx(values, abs=0.501 * (high - low) / 63)


@pytest.mark.parametrize(("limit", "states", "others"), [(24 * 5000 - 1, 23, 0), (24 * 5000 + 2 * 25_000, 24, 2)])
def test_the_limit_is_kept(inspection: Inspection, limit: int, states: int, others: int) -> None:
    """First c of every cell goes in, then the other activations of the cells at the top of the list."""
    values = [entry.values for entry in encode_cells(inspection.reading, inspection.tracking, limit)]
    assert [place for place, each in enumerate(values) if "c" in each] == [*range(states)]
    assert [place for place, each in enumerate(values) if {*"hifgo"} <= each.keys()] == [*range(others)]
    assert sum(len(letters) for each in values for letters in each.values()) <= limit


def test_the_best_of_each_property_comes_first(inspection: Inspection) -> None:
    """The order is the best cell of each property, the second best of each, and at last those that follow nothing."""
    correlation = np.zeros((2, 1, 5), dtype=np.float32)
    correlation[0, 0] = [0.5, -0.9, 0.0, 0.7, 0.1]
    correlation[1, 0] = [0.0, 0.1, 0.6, 0.0, 0.1]
    tracking = replace(inspection.tracking, names=["x", "y"], correlation=correlation, chance=np.array([0.2, 0.2]))
    assert order_cells(tracking, 1, 5) == [(0, 1), (0, 2), (0, 3), (0, 0), (0, 4)]


def test_a_cell_without_state_is_encoded(inspection: Inspection) -> None:
    """A cell whose c is always 0 has a scale of 0 and the letters of 0."""
    c = np.zeros((1, 3, 1), dtype=np.float32)
    reading = replace(inspection.reading, activations=dict.fromkeys("chifgo", c))
    tracking = replace(inspection.tracking, names=[], correlation=np.zeros((0, 1, 1)), chance=np.zeros(0))
    [entry] = encode_cells(reading, tracking)
    assert entry.scale == 0
    assert entry.values["c"] == ALPHABET[0] * 3
    assert decode(entry.values["c"], -entry.scale, entry.scale).tolist() == [0, 0, 0]
