"""All that ``charlm inspect`` measures about a text, and the same as plain values for JSON."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from charlm.errors import InputError
from charlm.inference.copying import ComparedText, compare_samples
from charlm.inference.reading import Floats, Reading, read_text
from charlm.inference.trained import TrainedModel
from charlm.inspection.gates import Saturation, measure_half_lives, measure_saturation
from charlm.inspection.resets import ResetLoss, measure_resets
from charlm.inspection.tracking import Tracking, track_properties
from charlm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Inspection:
    """What a model does with a text.

    Attributes:
        source: the text, as a person would name it.
        vocabulary: the model's symbols.
        reading: its predictions and activations.
        tracking: what its cells follow.
        saturation: how often each gate is open or shut.
        half_lives: of the cells' memory, in characters, (L, H).
        resets: the loss by distance between resets of the state.
        texts: samples and the validation text, with their matches in the training text; empty without the corpus.
        no_texts_reason: why ``texts`` is empty; else empty.
    """

    source: str
    vocabulary: Vocabulary
    reading: Reading
    tracking: Tracking
    saturation: dict[str, Saturation]
    half_lives: Floats
    resets: list[ResetLoss]
    texts: list[ComparedText]
    no_texts_reason: str


def inspect_text(trained: TrainedModel, ids: Tensor, source: str) -> Inspection:
    """Measure what a model does with a text, and how much of its samples is copied.

    Args:
        trained: the model.
        ids: the text, (T,), T at least 2.
        source: the text's name.

    Raises:
        InputError: the text has fewer than 2 characters.
        CharlmError: the model's weights are broken.
    """
    resets = measure_resets(trained.model, ids)  # first: it raises if the loss is not a number
    reading = read_text(trained.model, trained.vocabulary, ids)
    texts, reason = [], ""
    try:
        texts = compare_samples(trained)
    except InputError as error:  # the corpus is not there; the other parts do not need it
        reason = str(error)
    return Inspection(
        source=source,
        vocabulary=trained.vocabulary,
        reading=reading,
        tracking=track_properties(reading, trained.vocabulary.level),
        saturation=measure_saturation(reading),
        half_lives=measure_half_lives(reading),
        resets=resets,
        texts=texts,
        no_texts_reason=reason,
    )


def describe(inspection: Inspection) -> dict[str, Any]:
    """Return an inspection as plain values for ``--json``; docs/json.md lists the keys."""
    reading = inspection.reading
    symbols = inspection.vocabulary.symbols
    return {
        "source": inspection.source,
        "num_chars": len(reading.symbols),
        "bits_per_char": reading.bits_per_char,
        "symbols": reading.symbols,
        "surprise_bits": _plain(reading.surprise_bits[1:]),
        "probability": _plain(reading.probability[1:]),
        "rank": reading.rank[1:].tolist(),
        "likeliest": [[symbols[index] for index in row] for row in reading.likeliest_ids[1:].tolist()],
        "likeliest_probability": _plain(reading.likeliest_probability[1:]),
        "resets": [{"window": each.window, "bits_per_char": each.bits_per_char} for each in inspection.resets],
        "cells": _describe_cells(inspection),
        "copied": [
            {
                "name": text.name,
                "num_chars": len(text.symbols),
                "longest_match": text.longest,
                "shares": {str(length): share for length, share in text.shares.items()},
            }
            for text in inspection.texts
        ],
    }


def _describe_cells(inspection: Inspection) -> list[dict[str, Any]]:
    """Return one object for each cell, layer by layer."""
    tracking = inspection.tracking
    num_layers, num_cells = inspection.half_lives.shape
    cells = []
    for layer in range(num_layers):
        for cell in range(num_cells):
            saturation = {
                f"{name}_{kind}_frac": float(getattr(value, f"{kind}_frac")[layer, cell])
                for name, value in inspection.saturation.items()
                for kind in ("shut", "open")
            }
            correlation = dict(zip(tracking.names, _plain(tracking.correlation[:, layer, cell]), strict=True))
            half_life = float(inspection.half_lives[layer, cell])
            cells.append(
                {
                    "layer": layer + 1,
                    "cell": cell,
                    "tracks": tracking.best(layer, cell).name or None,
                    "correlation": correlation,
                    "half_life_chars": half_life if math.isfinite(half_life) else None,
                    **saturation,
                }
            )
    return cells


def _plain(values: Floats) -> list[Any]:
    """Return an array as lists, with the digits that a float32 has."""
    return values.astype("float64").round(7).tolist()  # type: ignore[no-any-return]
