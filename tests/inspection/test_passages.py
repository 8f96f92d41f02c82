"""The running loss and the passages of a text with known surprise."""

from dataclasses import replace

import numpy as np
import pytest

from charlm.inspection.inspection import Inspection
from charlm.inspection.passages import find_passages, running_loss

BITS = np.random.default_rng(0).random(300).astype(np.float32)
BITS[0] = np.nan
BITS[100:140] += 5
BITS[200:240] = 0


def test_passages_are_the_extremes(inspection: Inspection) -> None:
    """The most surprising passage is where the surprise is high, the least where it is 0; none overlaps another."""
    reading = replace(inspection.reading, surprise_bits=BITS, symbols=inspection.reading.symbols[:300])
    most, least = find_passages(reading)
    assert most[0] == (100, 140, pytest.approx(BITS[100:140].mean()))
    assert least[0] == (200, 240, pytest.approx(0, abs=1e-9))
    for passages in (most, least):
        assert len(passages) == 5
        starts = sorted(passage.start for passage in passages)
        assert min(np.diff(starts)) >= 40
        assert starts[0] >= 1
        assert all(passage.end <= 300 for passage in passages)


def test_running_loss_is_a_mean_of_the_last_hundred(inspection: Inspection) -> None:
    """At first it is the mean of what there is."""
    running = running_loss(replace(inspection.reading, surprise_bits=BITS))
    assert len(running) == 299
    assert running[0] == pytest.approx(BITS[1])
    assert running[49] == pytest.approx(BITS[1:51].mean(), rel=1e-5)
    assert running[250] == pytest.approx(BITS[152:252].mean(), rel=1e-5)


def test_a_short_text_is_one_passage(inspection: Inspection) -> None:
    """A text that is shorter than a passage is one passage in both lists."""
    reading = replace(inspection.reading, surprise_bits=BITS[:6], symbols=list("abcdef"))
    assert find_passages(reading) == ([(1, 6, pytest.approx(BITS[1:6].mean()))],) * 2
