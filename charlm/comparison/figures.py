"""The figures of a comparison: curves.png and depth.png."""

import io
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from charlm.comparison.results import ArmFindings, Results, name_group
from charlm.comparison.search import RATE
from charlm.comparison.statistics import confidence_margin

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Colours of depths from 1 on, which people with colour blindness can tell apart.

Source: Okabe & Ito, Color Universal Design, 2008.
"""

MARKERS = "os^Dv*"
"""Marks of depths from 1 on."""


def depth_color(num_layers: int) -> str:
    """Return the colour of a depth."""
    return COLORS[(num_layers - 1) % len(COLORS)]


def name_depth(num_layers: int) -> str:
    """Return a depth in words."""
    return "1 layer" if num_layers == 1 else f"{num_layers} layers"


def draw_curves(results: Results) -> bytes:
    """Return a PNG of the validation loss over characters and over time.

    Each budget has a row, each depth a colour. Lines are means over seeds; bands extend from minimum to maximum.
    """
    groups = results.groups
    figure = Figure(figsize=(11, 1 + 3.6 * len(groups)), layout="constrained")
    rows = figure.subplots(len(groups), 2, squeeze=False, sharey="row")
    for (by_chars, by_time), group in zip(rows, groups, strict=True):
        for arm in (arm for arm in group.arms if arm.runs):
            label = f"{arm.num_layers} x {arm.hidden_size}"
            color = depth_color(arm.num_layers)
            curves = [run.curve for run in arm.runs]
            losses = list(zip(*(curve.loss_nats for curve in curves), strict=True))
            num_chars = [count / 1e6 for count in curves[0].num_chars]
            elapsed_s = [statistics.fmean(times) for times in zip(*(curve.elapsed_s for curve in curves), strict=True)]
            _draw_band(by_chars, num_chars, losses, label, color)
            _draw_band(by_time, elapsed_s, losses, label, color)
        by_chars.set(
            title=name_group(results, group),
            xlabel="characters trained on, millions",
            ylabel="validation loss, nats per character",
        )
        by_time.set(xlabel="time, seconds, validations included, mean over seeds")
        if any(arm.runs for arm in group.arms):
            by_chars.legend(title="layers x width")
        for axes in (by_chars, by_time):
            axes.grid(alpha=0.3)
    return render(figure)


def _draw_band(axes: Axes, x: Sequence[float], losses: Sequence[Sequence[float]], label: str, color: object) -> None:
    axes.plot(x, [statistics.fmean(values) for values in losses], color=color, marker=".", linewidth=1.2, label=label)
    axes.fill_between(x, [min(values) for values in losses], [max(values) for values in losses], color=color, alpha=0.2)


def draw_depths(results: Results) -> bytes:
    """Return a PNG of the loss over parameters, a panel for each length: a line for each depth, with 95 % intervals."""
    lengths = list(dict.fromkeys(group.num_chars for group in results.groups))
    figure = Figure(figsize=(2.5 + 5 * len(lengths), 5), layout="constrained")
    panels = figure.subplots(1, len(lengths), squeeze=False, sharey=True)[0]
    for axes, num_chars in zip(panels, lengths, strict=True):
        arms = [arm for group in results.groups if group.num_chars == num_chars for arm in group.arms]
        draw_losses(axes, [(arm.num_parameters, arm) for arm in arms])
        counts = [arm.num_parameters for arm in arms]
        axes.set_xscale("log")
        axes.set_xlim(min(counts) / 1.3, max(counts) * 1.3)  # arms of one budget are close together
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("parameters")
        axes.set_title(f"matched by {results.match}, {num_chars:,} characters", fontsize=10)
    panels[0].set_ylabel(f"{results.loss} loss, nats per character")
    return render(figure)


def draw_losses(axes: Axes, arms: Sequence[tuple[int, ArmFindings]]) -> None:
    """Draw the mean loss of arms, a line for each depth, with 95 % intervals of the mean over seeds.

    Args:
        axes: where to draw.
        arms: the arms, each with its place on the horizontal axis.
    """
    by_depth: dict[int, list[tuple[int, ArmFindings]]] = {}
    for place, arm in arms:
        if arm.mean_loss_nats is not None:
            by_depth.setdefault(arm.num_layers, []).append((place, arm))
    for num_layers, points in sorted(by_depth.items()):
        points.sort(key=lambda point: point[0])
        axes.errorbar(
            [place for place, _ in points],
            [arm.mean_loss_nats or 0.0 for _, arm in points],
            yerr=[confidence_margin(arm.sd_loss_nats, len(arm.runs)) if arm.sd_loss_nats else 0.0 for _, arm in points],
            color=depth_color(num_layers),
            marker=MARKERS[(num_layers - 1) % len(MARKERS)],
            markersize=4,
            capsize=4,
            linewidth=1.2,
            label=name_depth(num_layers),
        )
    axes.grid(alpha=0.3)
    if by_depth:
        axes.legend(title="95 % intervals", title_fontsize=8)


def draw_trials(results: Results) -> bytes:
    """Return a PNG of the validation loss of every trial over its learning rate: a panel for each budget.

    Complete trials are filled circles, joined by rate; pruned trials are crosses, at the loss that they reached.
    """
    figure = Figure(figsize=(7.5, 0.6 + 4 * len(results.groups)), layout="constrained")
    panels = figure.subplots(len(results.groups), 1, squeeze=False)[:, 0]
    for axes, group in zip(panels, results.groups, strict=True):
        for arm in group.arms:
            color = depth_color(arm.num_layers)
            complete = _sort_trials(arm, "complete")
            axes.plot(*complete, color=color, marker="o", markersize=4, linewidth=0.8, label=name_depth(arm.num_layers))
            axes.plot(*_sort_trials(arm, "pruned"), color=color, marker="x", linestyle="none")
        axes.set_xscale("log")
        axes.set(
            title=name_group(results, group),
            xlabel="learning rate",
            ylabel="validation loss, nats per character",
        )
        axes.grid(alpha=0.3)
        axes.legend(title="crosses were pruned")
    return render(figure)


def _sort_trials(arm: ArmFindings, state: str) -> tuple[list[float], list[float]]:
    """Return the learning rates of an arm's trials of one state, ascending, and their losses."""
    found = [trial for trial in arm.trials if trial.state == state]
    points = sorted((trial.values[RATE], trial.val_loss_nats) for trial in found if trial.val_loss_nats is not None)
    return [rate for rate, _ in points], [loss for _, loss in points]


def render(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    return picture.getvalue()
