"""Saturation and half-lives of gates whose values are known."""

import numpy as np
import pytest
import torch

from charlm.inference.reading import Reading, read_text
from charlm.inspection.gates import measure_half_lives, measure_saturation
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary


@pytest.fixture
def reading(model: CharLM, vocabulary: Vocabulary) -> Reading:
    """Return a reading whose gates the tests replace."""
    return read_text(model, vocabulary, torch.tensor([0, 3, 1, 4]))


def test_saturation_counts_each_gate_by_itself(reading: Reading) -> None:
    """The fractions are those of the characters at which a gate is below 0.1 and above 0.9."""
    for place, name in enumerate("ifo"):
        gate = np.full((1, 4, 2), 0.5, dtype=np.float32)
        gate[0, : place + 1, 0] = 0.95
        gate[0, :3, 1] = 0.05
        reading.activations[name] = gate
    saturation = measure_saturation(reading)
    assert {name: value.open_frac.tolist() for name, value in saturation.items()} == {
        "i": [[0.25, 0.0]],
        "f": [[0.5, 0.0]],
        "o": [[0.75, 0.0]],
    }
    assert all(value.shut_frac.tolist() == [[0.0, 0.75]] for value in saturation.values())


def test_half_life_is_where_half_is_left(reading: Reading) -> None:
    """A gate of 1/2 keeps half for one character, a gate of 2 ** -0.1 for ten, and a single reset changes nothing."""
    gate = np.array([[0.5, 2**-0.1, 2**-0.1]] * 3, dtype=np.float32)
    gate[1, 2] = 0.001
    reading.activations["f"] = gate[None]
    assert measure_half_lives(reading)[0] == pytest.approx([1.0, 10.0, 10.0], rel=1e-5)


def test_half_life_of_a_gate_at_its_limits(reading: Reading) -> None:
    """A gate of 0 forgets all at once, one of 1 never forgets."""
    reading.activations["f"] = np.array([[[0.0, 1.0], [0.0, 1.0]]], dtype=np.float32)
    assert measure_half_lives(reading).tolist() == [[0.0, np.inf]]
