"""What is measured about a text, and its form as JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest

from charlm.inference.trained import TrainedModel
from charlm.inspection.inspection import Inspection, describe, inspect_text


def test_json_has_the_values_of_the_parts(inspection: Inspection) -> None:
    """The object can be written and read, and its numbers are those of the reading, the cells and the samples."""
    values = json.loads(json.dumps(describe(inspection), allow_nan=False))
    reading = inspection.reading
    assert values["num_chars"] == len(values["symbols"]) == 5000
    assert values["bits_per_char"] == pytest.approx(reading.bits_per_char)
    assert values["surprise_bits"] == pytest.approx(reading.surprise_bits[1:].tolist(), abs=1e-6)
    assert values["rank"] == reading.rank[1:].tolist()
    assert values["likeliest"][7][0] == inspection.vocabulary.symbols[reading.likeliest_ids[8, 0]]
    assert [each["window"] for each in values["resets"]] == [1, 4, 16, 64, 256, 1024, None]
    assert values["resets"][-1]["bits_per_char"] == pytest.approx(reading.bits_per_char, rel=1e-6)
    cell = values["cells"][12 + 5]
    assert (cell["layer"], cell["cell"]) == (2, 5)
    assert cell["f_open_frac"] == pytest.approx(inspection.saturation["f"].open_frac[1, 5])
    assert cell["i_shut_frac"] == pytest.approx(inspection.saturation["i"].shut_frac[1, 5])
    place = inspection.tracking.names.index("digit")
    assert cell["correlation"]["digit"] == pytest.approx(inspection.tracking.correlation[place, 1, 5], abs=1e-6)
    assert cell["half_life_chars"] == pytest.approx(inspection.half_lives[1, 5])
    assert [each["name"] for each in values["copied"]] == [text.name for text in inspection.texts]
    assert values["copied"][3]["shares"]["20"] == inspection.texts[3].shares[20]


def test_a_memory_without_end_is_null(inspection: Inspection) -> None:
    """JSON has no infinity."""
    endless = replace(inspection, half_lives=np.full_like(inspection.half_lives, np.inf))
    assert describe(endless)["cells"][0]["half_life_chars"] is None


def test_without_the_corpus_only_the_copies_are_missing(trained: TrainedModel) -> None:
    """A text can be inspected where the training text is gone; the reason is kept."""
    moved = replace(trained, checkpoint=replace(trained.checkpoint, corpus_digest="of another text"))
    inspection = inspect_text(moved, trained.load_split("val")[:50].long(), "a passage")
    assert inspection.texts == []
    assert "has changed" in inspection.no_texts_reason
    assert len(inspection.reading.symbols) == 50
