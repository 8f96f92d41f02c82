"""The plots of a page as SVG paths and plain numbers; the template draws them.

Dimensions: L layers, H hidden width.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from charlm.inference.reading import Floats
from charlm.inspection.gates import Saturation
from charlm.inspection.resets import ResetLoss

SIZE = 100
"""Width and height of a plot in its own units, from which the browser scales it."""

HALF_LIFE_EDGES = [0.0, *(2.0**power for power in range(-2, 9)), np.inf]
"""Bounds of the bars of half-lives: below 1/4 character, 1/4 to 1/2, ..., 256 and more."""


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: what it counts, how many there are, and its height, 0 to ``SIZE``."""

    label: str
    count: int
    height: float


class Point(NamedTuple):
    """A point of the curve of resets: its label, its value, and where it stands, 0 to ``SIZE``."""

    label: str
    bits_per_char: float
    x: float
    y: float


def draw_curve(values: Floats, high: float) -> str:
    """Return the path of a curve in a box of as many units as values, and ``SIZE`` high; 0 is at the bottom."""
    points = (f"{place},{SIZE - SIZE * min(value / high, 1):.1f}" for place, value in enumerate(values.tolist()))
    return "M" + "L".join(points)


def draw_dots(saturation: Saturation, layer: int) -> str:
    """Return the path of a dot for each cell of a layer: to the right the share of open, upwards that of shut."""
    opened, shut = saturation.open_frac[layer].tolist(), saturation.shut_frac[layer].tolist()
    return "".join(f"M{SIZE * x:.1f} {SIZE - SIZE * y:.1f}h0" for x, y in zip(opened, shut, strict=True))


def count_half_lives(half_lives: Floats, layer: int) -> list[Bar]:
    """Return the bars of a layer's half-lives."""
    values = half_lives[layer]
    bounds = list(pairwise(HALF_LIFE_EDGES))
    counts = [int(((values >= low) & (values < high)).sum()) for low, high in bounds]
    counts[-1] += int(np.isinf(values).sum())
    labels = ["0", *(f"{low:g}" for low, _ in bounds[1:])]
    return [Bar(label, count, SIZE * count / max(counts)) for label, count in zip(labels, counts, strict=True)]


def place_resets(resets: list[ResetLoss]) -> list[Point]:
    """Return the points of the curve of resets, evenly spaced; the box begins at 0 bits."""
    high = max(each.bits_per_char for each in resets)
    last = max(1, len(resets) - 1)
    return [
        Point(
            "carried" if each.window is None else f"{each.window:,}",
            each.bits_per_char,
            SIZE * place / last,
            SIZE - SIZE * each.bits_per_char / (high or 1.0),
        )
        for place, each in enumerate(resets)
    ]
