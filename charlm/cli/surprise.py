"""The surprise of a text in a terminal: colours, or digits where NO_COLOR asks for none."""

import math
import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from charlm.inference.reading import Reading

STEPS = ((1, None, None), (2, 16, 230), (4, 16, 222), (6, 16, 214), (8, 231, 130), (math.inf, 231, 124))
"""The bits below which a step ends, and its colours of text and background among the 256 of a terminal."""


def print_surprise(reading: "Reading", level: str) -> None:
    """Print a text coloured by its surprise, and what the colours mean."""
    from charlm.inference.surprise import LEGEND, pair_lines
    from charlm.text.pictures import picture_text

    if os.environ.get("NO_COLOR"):
        for line, digits in pair_lines(reading, level):
            click.echo(f"{line}\n{digits}")
        click.echo(LEGEND)
        return
    shown = picture_text(reading.symbols, level)
    coloured = [_colour(text, bits) for text, bits in zip(shown, reading.surprise_bits.tolist(), strict=True)]
    breaks = ("\n" if symbol == "\n" else "" for symbol in reading.symbols)
    text = "".join(part for pair in zip(coloured, breaks, strict=True) for part in pair)
    click.echo(text.rstrip("\n"), color=True)  # the option asks for colours, also in a pipe to a pager
    click.echo(f"bits: {_format_legend()}", color=True)


def _colour(text: str, bits: float) -> str:
    """Return a text in the colours of a number of bits."""
    _, ink, paper = next(step for step in STEPS if math.isnan(bits) or bits < step[0])
    return text if paper is None else click.style(text, fg=ink, bg=paper)


def _format_legend() -> str:
    """Return the steps, each in its colours."""
    low, parts = 0.0, []
    for high, _, _ in STEPS:
        name = f" {low:g} and more " if high == math.inf else f" {low:g} to {high:g} "
        parts.append(_colour(name, low))
        low = high
    return "".join(parts)
