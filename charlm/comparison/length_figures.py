"""The figures of a comparison with several lengths: lengths.png and map.png."""

from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import EngFormatter, NullLocator

from charlm.comparison.advice import find_winner
from charlm.comparison.arms import UNITS
from charlm.comparison.figures import depth_color, draw_losses, name_depth, render
from charlm.comparison.results import Results

UNDECIDED = "#D9D9D9"
"""The colour of a cell of the map in which no depth is better than all others; no depth has a grey."""


def draw_lengths(results: Results) -> bytes:
    """Return a PNG of the loss over the characters of training: a panel for each budget, a line for each depth.

    Bars are 95 % intervals of the mean over seeds. Each point is a run of its own, with a schedule of that length.
    """
    budgets = list(dict.fromkeys(group.budget for group in results.groups))
    figure = Figure(figsize=(1 + 4.2 * len(budgets), 4.6), layout="constrained")
    panels = figure.subplots(1, len(budgets), squeeze=False, sharey=True)[0]
    for axes, budget in zip(panels, budgets, strict=True):
        arms = [(group.num_chars, arm) for group in results.groups if group.budget == budget for arm in group.arms]
        draw_losses(axes, arms)
        lengths = sorted({num_chars for num_chars, _ in arms})
        axes.set_xscale("log")
        axes.set_xlim(lengths[0] / 1.3, lengths[-1] * 1.3)
        axes.set_xticks(lengths, [_shorten(num_chars) for num_chars in lengths])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(title=f"{budget:,} {UNITS[results.match]}", xlabel="characters trained on")
    panels[0].set_ylabel(f"{results.loss} loss, nats per character")
    return render(figure)


def draw_map(results: Results) -> bytes:
    """Return a PNG of which depth is better than all others at each budget and length; grey where none is."""
    budgets = sorted({group.budget for group in results.groups})
    lengths = sorted({group.num_chars for group in results.groups})
    winners = {(group.num_chars, group.budget): find_winner(group) for group in results.groups}
    figure = Figure(figsize=(3.6 + 1.4 * len(lengths), 1.6 + 0.9 * len(budgets)), layout="constrained")
    axes = figure.subplots()
    for (column, num_chars), (row, budget) in product(enumerate(lengths), enumerate(budgets)):
        _draw_cell(axes, column, row, winners.get((num_chars, budget)))
    axes.set(xlim=(0, len(lengths)), ylim=(0, len(budgets)))
    axes.set_xticks([column + 0.5 for column in range(len(lengths))], [_shorten(each) for each in lengths])
    axes.set_yticks([row + 0.5 for row in range(len(budgets))], [_shorten(each) for each in budgets])
    axes.set(xlabel="characters trained on", ylabel=UNITS[results.match])
    depths = sorted({arm.num_layers for group in results.groups for arm in group.arms})
    handles = [Patch(color=depth_color(depth), label=f"{name_depth(depth)} better than all others") for depth in depths]
    figure.legend(handles=[*handles, Patch(color=UNDECIDED, label="undecided")], loc="outside upper center", fontsize=8)
    return render(figure)


def _draw_cell(axes: Axes, column: int, row: int, winner: int | None) -> None:
    color = UNDECIDED if winner is None else depth_color(winner)
    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=color, edgecolor="white", linewidth=2))
    label = "undecided" if winner is None else f"{winner}"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    axes.text(column + 0.5, row + 0.5, label, ha="center", va="center", bbox=box)


def _shorten(number: int) -> str:
    """Return a number with three digits, such as 3.28M."""
    return EngFormatter(sep="")(float(f"{number:.3g}"))
