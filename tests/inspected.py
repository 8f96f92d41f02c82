"""What is measured about any text at all, without training a model."""

import numpy as np
import torch

from charlm.inference.copying import ComparedText
from charlm.inference.reading import read_text
from charlm.inspection.gates import measure_half_lives, measure_saturation
from charlm.inspection.inspection import Inspection
from charlm.inspection.resets import ResetLoss
from charlm.inspection.tracking import track_properties
from charlm.model import CharLM
from charlm.text.vocabulary import Level, Vocabulary

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(1)'>\"&amp;<!--\0\u202e\u2028]]>"


def inspect_symbols(text: str, level: Level) -> Inspection:
    """Return an inspection of a text by a model of one cell whose vocabulary is the text's own."""
    symbols = sorted(set(text))
    vocabulary = Vocabulary(level, symbols)
    ids = torch.tensor([vocabulary.ids[symbol] for symbol in text])
    reading = read_text(CharLM(len(vocabulary), 1, 1, 1, kernel="reference"), vocabulary, ids)
    return Inspection(
        source=text,
        vocabulary=vocabulary,
        reading=reading,
        tracking=track_properties(reading, level),
        saturation=measure_saturation(reading),
        half_lives=measure_half_lives(reading),
        resets=[ResetLoss(None, 1.0)],
        texts=[ComparedText("a sample", list(text), np.full(len(text), 25))],
        no_texts_reason="",
    )
