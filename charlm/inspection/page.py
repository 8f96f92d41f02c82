"""The page of ``charlm inspect``: one HTML file that needs nothing else.

The template escapes all text. The content security policy allows the one script and the one style sheet of the page,
by their digests, and nothing besides: no request, no other script, no frame, no form.
"""

import base64
import hashlib
import math
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from charlm.inference.copying import MATCH_LENGTHS, SAMPLE_LENGTH, SEED, ComparedText
from charlm.inspection.encoding import (
    NUM_LEVELS,
    CellEntry,
    PackedActivations,
    choose_limit,
    list_cells,
    pack_activations,
)
from charlm.inspection.inspection import Inspection
from charlm.inspection.passages import RUNNING_LENGTH, Passage, find_passages, running_loss
from charlm.inspection.plots import count_half_lives, draw_curve, draw_dots, place_resets
from charlm.text.pictures import name_symbol, picture, picture_text

SCRIPTS = ("text.js", "surprise.js", "cells.js", "copies.js")
"""The files of the script of the page, in the order in which they run."""

GATE_NAMES = {"i": "input gate", "f": "forget gate", "o": "output gate"}

FULL_SURPRISE_BITS = 10.0
"""Surprise that has the strongest colour: a probability of one in a thousand."""


def render(inspection: Inspection, title: str, facts: dict[str, str]) -> str:
    """Return the page.

    Args:
        inspection: what was measured.
        title: the name of the run.
        facts: what is said about the run at the top, by name.
    """
    environment = Environment(loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    template = environment.get_template("page.html")
    shown = picture_text(inspection.reading.symbols, inspection.vocabulary.level)
    script, style = Markup("\n").join(map(_read, SCRIPTS)), _read("page.css")
    values = {
        "title": _make_visible(title),
        "facts": {name: _make_visible(value) for name, value in facts.items()},
        "script": script,
        "style": style,
        "digests": {"script": _digest(script), "style": _digest(style)},
        **_prepare_parts(inspection, shown),
    }
    cells = list_cells(inspection.reading, inspection.tracking)
    data = _collect(inspection, shown, cells)

    def fill(packed: PackedActivations) -> str:
        return template.render(values, data=data | _write_activations(packed))

    num_other_bytes = len(fill(PackedActivations({}, {}, {}, 0)).encode("utf-8", "replace"))
    return fill(pack_activations(inspection.reading, cells, choose_limit(num_other_bytes)))


def _prepare_parts(inspection: Inspection, shown: list[str]) -> dict[str, Any]:
    """Return what the template shows in the five parts of the page."""
    running = running_loss(inspection.reading)
    most, least = find_passages(inspection.reading)
    high = float(running.max()) or 1.0
    return {
        "inspection": inspection,
        "num_chars": len(shown),
        "running": {"path": draw_curve(running, high), "high": high, "length": RUNNING_LENGTH},
        "passages": {"most": _show(most, shown), "least": _show(least, shown)},
        "gates": GATE_NAMES,
        "draw_dots": draw_dots,
        "count_half_lives": count_half_lives,
        "reset_points": place_resets(inspection.resets),
        "texts": [(text, _mark_matches(text, inspection.vocabulary.level)) for text in inspection.texts],
        "match_lengths": MATCH_LENGTHS,
        "sample_length": SAMPLE_LENGTH,
        "sample_seed": SEED,
    }


def _make_visible(text: str) -> str:
    """Return a name or path without characters that could reorder or hide the text around it."""
    return "".join(map(picture, text))


def _read(name: str) -> Markup:
    """Return a file of the package that is put into the page as it is."""
    return Markup(files(__package__).joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704


def _digest(content: str) -> str:
    """Return the source of the content security policy that allows an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _collect(inspection: Inspection, shown: list[str], cells: list[CellEntry]) -> dict[str, Any]:
    """Return what the script reads beside the activations: the text, its predictions, and the list of cells."""
    reading, vocabulary = inspection.reading, inspection.vocabulary
    used = sorted({*reading.ids.tolist(), *reading.likeliest_ids[1:].ravel().tolist()})
    return {
        "fullSurprise": FULL_SURPRISE_BITS,
        "shown": shown,
        "lineEnds": [place for place, symbol in enumerate(reading.symbols) if symbol == "\n"],
        "names": {str(index): name_symbol(vocabulary.symbols[index], vocabulary.level) for index in used},
        "ids": reading.ids.tolist(),
        "bits": [None, *(round(bits, 3) for bits in reading.surprise_bits[1:].tolist())],
        "probability": [None, *map(_shorten, reading.probability[1:].tolist())],
        "rank": [None, *reading.rank[1:].tolist()],
        "likeliest": [[], *reading.likeliest_ids[1:].tolist()],
        "chances": [[], *(list(map(_shorten, row)) for row in reading.likeliest_probability[1:].tolist())],
        "numLayers": len(reading.activations["c"]),
        "cells": [_describe_cell(cell, float(inspection.half_lives[cell.layer, cell.cell])) for cell in cells],
        "numLevels": NUM_LEVELS,
    }


def _describe_cell(entry: CellEntry, half_life: float) -> dict[str, Any]:
    """Return what the script reads about a cell; a half-life of null is infinite."""
    return {
        "layer": entry.layer,
        "cell": entry.cell,
        "tracks": entry.tracks,
        "r": round(entry.correlation, 3),
        "chance": round(entry.chance, 3),
        "scale": _shorten(entry.scale),
        "halfLife": _shorten(half_life) if math.isfinite(half_life) else None,
    }


def _write_activations(packed: PackedActivations) -> dict[str, Any]:
    """Return what the script reads about the activations."""
    return {
        "numChars": packed.num_chars,
        "numWhole": packed.num_whole,
        "whole": {name: _write_base64(array) for name, array in packed.whole.items()},
        "layers": {name: list(map(_write_base64, arrays)) for name, arrays in packed.layers.items()},
    }


def _write_base64(packed: bytes) -> str:
    return base64.b64encode(packed).decode()


def _shorten(value: float) -> float:
    """Return a number with four digits, which saves a third of the text."""
    return float(f"{value:.4g}")


def _show(passages: list[Passage], shown: list[str]) -> list[tuple[Passage, str]]:
    """Return passages with their visible text."""
    return [(passage, "".join(shown[passage.start : passage.end])) for passage in passages]


def _mark_matches(text: ComparedText, level: str) -> list[tuple[int, int, str]]:
    """Return a text in pieces of equal match length: the length, the threshold that it reaches (or 0), the text."""
    shown = picture_text(text.symbols, level)
    lines = [each + "\n" * (symbol == "\n") for each, symbol in zip(shown, text.symbols, strict=True)]
    lengths = text.match_length.tolist()
    marked = [length if length >= MATCH_LENGTHS[0] else 0 for length in lengths]
    pieces, place = [], 0
    for length, group in groupby(marked):
        size = len(list(group))
        reached = max((each for each in MATCH_LENGTHS if each <= length), default=0)
        pieces.append((length, reached, "".join(lines[place : place + size])))
        place += size
    return pieces
