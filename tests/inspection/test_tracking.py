"""Cells that follow a property are found, and what chance gives is called chance."""

import numpy as np
import pytest

from charlm.inference.reading import Reading, read_text
from charlm.inspection.properties import measure_properties
from charlm.inspection.tracking import NUM_SHIFTS, Tracking, track_properties
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

TEXT = "".join(f"abc {'de' * (n % 5)} fg\n" for n in range(60))


@pytest.fixture
def reading(model: CharLM, vocabulary: Vocabulary) -> Reading:
    """Return a reading of lines of several lengths, whose cell states are noise that the tests replace."""
    reading = read_text(model, vocabulary, vocabulary.encode(TEXT))
    noise = np.random.default_rng(0).normal(size=reading.activations["c"].shape)
    reading.activations["c"] = noise.astype(np.float32)
    return reading


def test_a_cell_that_counts_is_found(reading: Reading) -> None:
    """A state that falls with the place in the line has r = -1 with it, in its layer and at its number."""
    places = measure_properties(TEXT)["place in the line"]
    reading.activations["c"][1, :, 4] = 3 - 2 * places
    tracking = track_properties(reading, "char")
    assert tracking.best(1, 4) == ("place in the line", pytest.approx(-1.0, abs=1e-5))
    row = tracking.correlation[tracking.names.index("place in the line")]
    assert np.unravel_index(np.abs(row).argmax(), row.shape) == (1, 4)


def test_correlations_are_those_of_numpy(reading: Reading) -> None:
    """Every r is Pearson's."""
    tracking = track_properties(reading, "char")
    for name, correlation in zip(tracking.names, tracking.correlation, strict=True):
        columns = np.vstack([measure_properties(TEXT)[name], reading.activations["c"][0].T])
        assert correlation[0] == pytest.approx(np.corrcoef(columns)[0, 1:], abs=1e-5)


def test_noise_tracks_nothing(reading: Reading) -> None:
    """Among 32 cells of noise, at most a few exceed the level that the best of them reaches by chance."""
    tracking = track_properties(reading, "char")
    named = [tracking.best(layer, cell).name for layer in range(2) for cell in range(16)]
    assert named.count("") >= 29


def test_slow_cells_and_slow_properties_meet_by_chance(reading: Reading) -> None:
    """Random walks correlate with a slow property by chance, and the level of chance says so."""
    fast = track_properties(reading, "char").chance
    reading.activations["c"] = reading.activations["c"].cumsum(axis=1)
    reading.symbols[:] = list("a" * 300 + "A" * 300 + "a" * (len(TEXT) - 600))
    slow = track_properties(reading, "char")
    assert slow.names == ["place in the line", "place in the word", "place in the paragraph", "capital letter"]
    assert slow.chance[3] > 0.6
    assert fast.max() < 0.25


def test_chance_is_a_quantile_over_the_best_of_all_cells(reading: Reading) -> None:
    """A cell that equals the property also counts when it is shifted: the level is that of the best cell."""
    capital = np.zeros(len(TEXT), dtype=np.float32)
    capital[::2] = 1  # shifted by an even distance it is the same, by an odd one the opposite: r is 1 or -1
    reading.symbols[:] = ["A" if value else "a" for value in capital]
    without = track_properties(reading, "char")
    reading.activations["c"][0, :, 0] = capital
    assert track_properties(reading, "char").chance[without.names.index("capital letter")] == pytest.approx(1, abs=1e-2)
    assert without.chance.max() < 0.5
    assert NUM_SHIFTS >= 100


def test_a_constant_cell_tracks_nothing(reading: Reading) -> None:
    """A state that never changes has r = 0 with everything."""
    reading.activations["c"][0, :, 3] = 0.1
    tracking = track_properties(reading, "char")
    assert not tracking.correlation[:, 0, 3].any()
    assert tracking.best(0, 3) == ("", 0.0)


def test_bytes_of_letters_are_no_capitals(reading: Reading) -> None:
    """In a byte vocabulary, a byte above 127 counts as a part of a word, whatever its number."""
    reading.symbols[:] = list("Ã\x80B ") * (len(TEXT) // 4)
    reading.activations["c"] = reading.activations["c"][:, : len(reading.symbols)]
    reading.activations["c"][0, :, 0] = [symbol == "B" for symbol in reading.symbols]
    assert track_properties(reading, "byte").best(0, 0) == ("capital letter", pytest.approx(1.0, abs=1e-5))


def test_a_text_without_properties() -> None:
    """Nothing to follow is no error."""
    empty = np.zeros((0, 1, 2), dtype=np.float32)
    assert Tracking([], empty, np.zeros(0, dtype=np.float32)).best(0, 1) == ("", 0.0)
