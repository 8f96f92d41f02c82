#!/usr/bin/env python3
"""Draw the activations of a few cells of a trained model over a text: gates, candidate, cell state, hidden state.

Dimensions: T time, H hidden width. The cells are selected by correlation with features of the text, so the command
finds interpretable cells in any model.
"""

from pathlib import Path
from typing import NamedTuple

import click
import torch
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.inference.activations import Activations, record_activations
from charlm.inference.trained import TrainedModel, load
from charlm.text.corpus import load_corpus
from charlm.text.streams import split_ids

STUDIED_LENGTH = 8000
"""Number of characters of the validation split used to select the cells: some hundred lines."""

DRAWN_LENGTH = 80
"""Number of characters drawn without --text; with more, the figure would be illegible."""

MAX_DRAWN_LENGTH = 500
"""Maximum number of characters in a figure."""

MIN_WIDTH = 7.6
"""Minimum width of the figure in inches, for the titles."""

VISIBLE = {" ": "\N{OPEN BOX}", "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}", "\t": "\N{RIGHTWARDS ARROW TO BAR}"}
"""Characters that are invisible on an axis, and the symbols drawn for them."""


TITLES = {
    "f": "f   forget gate: the share of the old c that is kept",
    "i": "i   input gate: the share of g that is written",
    "g": "g   candidate: what could be written",
    "c": "c   cell state: the memory, f × old c + i × g (each row over its own largest value)",
    "o": "o   output gate: the share of tanh c that is shown",
    "h": "h   hidden state: what the others see, o × tanh c",
}


class Choice(NamedTuple):
    """A selected cell, the reason, and a measure of it: a correlation, or the mean of f."""

    cell: int
    reason: str
    measure: str


def count_since(text: str, ends: str) -> list[float]:
    """Return, for each character, the number of characters since the last one in `ends`."""
    counts, count = [], 0
    for character in text:
        count = 0 if character in ends else count + 1
        counts.append(float(count))
    return counts


def mark_heads(text: str) -> list[float]:
    """Return 1 for each character in the first line of a paragraph, and 0 for the others."""
    return [float("\n" not in text[:end].rpartition("\n\n")[2]) for end in range(1, len(text) + 1)]


def choose_cells(activations: Activations, text: str) -> list[Choice]:
    """Return the cell whose c correlates most with each feature of the text, and the cell that forgets least."""
    features = {
        "place in line": count_since(text, "\n"),
        "place in word": count_since(text, " \n\t.,;:!?'\"-"),
        "paragraph's 1st line": mark_heads(text),
    }
    kept = activations.f.mean(dim=0)  # (H,)
    spread = activations.c.std(dim=0)  # (H,)
    is_varied = spread >= spread.median()  # a cell that never changes also forgets nothing, but is not informative
    scored = []
    for name, values in features.items():
        correlation = torch.corrcoef(torch.cat([torch.tensor(values)[None], activations.c.T]))[0, 1:].nan_to_num(0.0)
        if correlation.any():
            scored.append((name, "r", correlation.abs(), correlation))
    scored.append(("keeps longest", "mean f", kept.where(is_varied, -1), kept))
    choices: list[Choice] = []
    for reason, unit, score, shown in scored:
        taken = {choice.cell for choice in choices}
        free = [cell for cell in score.argsort(descending=True).tolist() if cell not in taken]
        choices += [Choice(cell, reason, f"{unit} {shown[cell]:.2f}") for cell in free[:1]]
    return choices


def draw_panel(axes: Axes, name: str, values: Tensor, choices: list[Choice]) -> None:
    """Draw a heat map with a row for each cell, and its colour bar."""
    is_gate = name in "fio"
    norm = colors.Normalize(0.0 if is_gate else -1.0, 1.0)
    if name == "c":  # the only unbounded one
        values = values / values.abs().amax(dim=0).clamp_min(torch.finfo(values.dtype).tiny)
    image = axes.imshow(
        values.T.numpy(), aspect="auto", interpolation="none", norm=norm, cmap="Blues" if is_gate else "RdBu_r"
    )
    axes.set_title(TITLES[name], loc="left", fontsize=10, pad=3)
    axes.set_yticks(range(len(choices)), [f"{choice.reason}  {choice.cell}" for choice in choices], fontsize=8)
    axes.set_yticks([row - 0.5 for row in range(1, len(choices))], minor=True)
    axes.grid(axis="y", which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.008, fraction=0.02, aspect=8)
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_visible(False)


def draw_figure(activations: Activations, symbols: list[str], choices: list[Choice], layer: int) -> Figure:
    """Return the figure: one panel each for f, i, g, c, o and h over the same characters."""
    height = 0.5 + len(Activations._fields) * (0.42 + 0.16 * len(choices))
    figure = Figure(figsize=(max(MIN_WIDTH, 2.6 + 0.105 * len(symbols)), height), layout="constrained")
    panels = figure.subplots(len(Activations._fields), 1, sharex=True)
    rows = [choice.cell for choice in choices]
    for axes, name, values in zip(panels, Activations._fields, activations, strict=True):
        draw_panel(axes, name, values[:, rows], choices)
        axes.set_xticks(range(len(symbols)), symbols, fontsize=8, family="monospace", va="baseline")
        axes.tick_params(labelbottom=True, pad=9)
        for end in (place for place, symbol in enumerate(symbols) if symbol == VISIBLE["\n"]):
            axes.axvline(end + 0.5, color="black", linewidth=0.5)
    figure.suptitle(f"{len(choices)} of the {activations.h.shape[1]} cells of layer {layer + 1}", fontsize=11)
    return figure


def encode_text(trained: TrainedModel, text: str) -> Tensor:
    """Return the ids of the text given by --text."""
    if not 1 <= len(text) <= MAX_DRAWN_LENGTH:
        raise InputError(f"--text: expected 1 to {MAX_DRAWN_LENGTH} characters, got {len(text)}.")
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
    data = trained.checkpoint.config.data
    corpus = load_corpus(data.path, data.level)
    if corpus.digest != trained.checkpoint.corpus_digest:
        raise InputError(f"{data.path}: the text has changed since the model was trained.")
    studied = split_ids(corpus.ids, data.val_frac, data.test_frac).val[:STUDIED_LENGTH].long()
    drawn = studied[:DRAWN_LENGTH] if text is None else encode_text(trained, text)

    def read(ids: Tensor) -> list[str]:
        return [trained.vocabulary.symbols[index] for index in ids.tolist()]

    choices = choose_cells(record_activations(trained.model, studied)[layer - 1], "".join(read(studied)))
    symbols = [VISIBLE.get(symbol, symbol if symbol.isprintable() else "·") for symbol in read(drawn)]
    figure = draw_figure(record_activations(trained.model, drawn)[layer - 1], symbols, choices, layer - 1)
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
