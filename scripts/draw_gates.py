#!/usr/bin/env python3
"""Draw the activations of a few cells of a trained model over a text: gates, candidate, cell state, hidden state.

Dimensions: T time, H hidden width. The cells are selected by correlation with features of the text, so the command
finds interpretable cells in any model.
"""

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.inference.reading import Floats, Reading, read_text
from charlm.inference.trained import TrainedModel, load
from charlm.inspection.gates import measure_half_lives
from charlm.inspection.tracking import Tracking, track_properties
from charlm.text.pictures import name_symbol, picture

STUDIED_LENGTH = 8000
"""Number of characters of the validation split used to select the cells: some hundred lines."""

DRAWN_LENGTH = 80
"""Number of characters drawn without --text; with more, the figure would be illegible."""

MAX_DRAWN_LENGTH = 500
"""Maximum number of characters in a figure."""

MIN_WIDTH = 7.6
"""Minimum width of the figure in inches, for the titles."""

FEATURES = ("place in the line", "place in the word", "first line of a paragraph")
"""The properties of a text for each of which a cell is drawn."""

LINE_END = picture("\n")

TITLES = {
    "f": "f   forget gate: the share of the old c that is kept",
    "i": "i   input gate: the share of g that is written",
    "g": "g   candidate: what could be written",
    "c": "c   cell state: the memory, f × old c + i × g (each row over its own largest value)",
    "o": "o   output gate: the share of tanh c that is shown",
    "h": "h   hidden state: what the others see, o × tanh c",
}


class Choice(NamedTuple):
    """A selected cell, the reason, and a measure of it: a correlation, or a half-life in characters."""

    cell: int
    reason: str
    measure: str


def choose_cells(reading: Reading, tracking: Tracking, layer: int) -> list[Choice]:
    """Return the cell of a layer whose c follows each feature of the text most, and the one that forgets least."""
    scored = []
    for name in FEATURES:
        if name in tracking.names:
            correlation = tracking.correlation[tracking.names.index(name), layer]  # (H,)
            scored.append((name, "r", np.abs(correlation), correlation))
    half_lives = measure_half_lives(reading)[layer]  # (H,)
    spread = reading.activations["c"][layer].std(axis=0)  # (H,)
    is_varied = spread >= np.median(spread)  # a cell that never changes also forgets nothing, but is not informative
    scored.append(("keeps longest", "half-life", np.where(is_varied, half_lives, -1), half_lives))
    choices: list[Choice] = []
    for reason, unit, score, shown in scored:
        taken = {choice.cell for choice in choices}
        free = [cell for cell in (-score).argsort(kind="stable").tolist() if cell not in taken]
        choices += [Choice(cell, reason, f"{unit} {shown[cell]:.2f}") for cell in free[:1]]
    return choices


def draw_panel(axes: Axes, name: str, values: Floats, choices: list[Choice]) -> None:
    """Draw a heat map with a row for each cell, and its colour bar."""
    is_gate = name in "fio"
    norm = colors.Normalize(0.0 if is_gate else -1.0, 1.0)
    if name == "c":  # the only unbounded one
        values = values / np.abs(values).max(axis=0).clip(min=np.finfo(values.dtype).tiny)
    image = axes.imshow(values.T, aspect="auto", interpolation="none", norm=norm, cmap="Blues" if is_gate else "RdBu_r")
    axes.set_title(TITLES[name], loc="left", fontsize=10, pad=3)
    axes.set_yticks(range(len(choices)), [f"{choice.reason}  {choice.cell}" for choice in choices], fontsize=8)
    axes.set_yticks([row - 0.5 for row in range(1, len(choices))], minor=True)
    axes.grid(axis="y", which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.008, fraction=0.02, aspect=8)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)


def draw_figure(reading: Reading, symbols: list[str], choices: list[Choice], layer: int) -> Figure:
    """Return the figure: one panel each for f, i, g, c, o and h over the same characters."""
    height = 0.5 + len(TITLES) * (0.42 + 0.16 * len(choices))
    figure = Figure(figsize=(max(MIN_WIDTH, 2.6 + 0.105 * len(symbols)), height), layout="constrained")
    panels = figure.subplots(len(TITLES), 1, sharex=True)
    rows = [choice.cell for choice in choices]
    for axes, name in zip(panels, TITLES, strict=True):
        draw_panel(axes, name, reading.activations[name][layer][:, rows], choices)
        axes.set_xticks(range(len(symbols)), symbols, fontsize=8, family="monospace", va="baseline")
        axes.tick_params(labelbottom=True, pad=9)
        for end in (place for place, symbol in enumerate(symbols) if symbol == LINE_END):
            axes.axvline(end + 0.5, color="black", linewidth=0.5)
    num_cells = reading.activations["c"].shape[2]
    figure.suptitle(f"{len(choices)} of the {num_cells} cells of layer {layer + 1}", fontsize=11)
    return figure


def encode_text(trained: TrainedModel, text: str) -> Tensor:
    """Return the ids of the text given by --text."""
    if not 2 <= len(text) <= MAX_DRAWN_LENGTH:
        raise InputError(f"--text: expected 2 to {MAX_DRAWN_LENGTH} characters, got {len(text)}.")
    unknown = sorted(set(text) - set(trained.vocabulary.ids)) if trained.vocabulary.level == "char" else []
    if unknown:
        raise InputError(f"--text: not in the model's vocabulary: {', '.join(map(repr, unknown))}; remove them.")
    return trained.vocabulary.encode(text)


def draw_run(trained: TrainedModel, text: str | None, layer: int | None, out: Path) -> list[Choice]:
    """Select cells on the validation split, draw their activations over the text, and return the cells."""
    cells = trained.model.lstm.cells
    layer = len(cells) if layer is None else layer
    if layer > len(cells):
        raise InputError(f"--layer: expected one of 1 to {len(cells)}, got {layer}.")
    model, vocabulary = trained.model, trained.vocabulary
    studied = trained.load_split("val")[:STUDIED_LENGTH].long()
    drawn = studied[:DRAWN_LENGTH] if text is None else encode_text(trained, text)
    reading = read_text(model, vocabulary, studied)
    choices = choose_cells(reading, track_properties(reading, vocabulary.level), layer - 1)
    symbols = [name_symbol(vocabulary.symbols[index], vocabulary.level) for index in drawn.tolist()]
    figure = draw_figure(read_text(model, vocabulary, drawn), symbols, choices, layer - 1)
    figure.savefig(out, dpi=110)
    return choices


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--text", help="Text to draw.  [default: the beginning of the validation split]")
@click.option("--layer", type=click.IntRange(1), help="Layer, counted from 1.  [default: the last]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="docs/gates.png", show_default=True)
def main(run: Path, text: str | None, layer: int | None, out: Path) -> None:
    """Draw the gates of RUN, a run directory or a checkpoint file; its corpus must still exist."""
    try:
        choices = draw_run(load(run, "cpu"), text, layer, out)
    except (CharlmError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for choice in choices:
        click.echo(f"cell {choice.cell}: {choice.reason} ({choice.measure})")
    click.echo(f"Wrote {out}.", err=True)


if __name__ == "__main__":
    main()
