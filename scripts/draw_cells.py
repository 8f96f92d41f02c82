#!/usr/bin/env python3
"""Draw docs/cells.png from docs/cells/results.jsonl, and print the table of the page."""

import io
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from charlm.comparison.table import format_table

DOCS = Path(__file__).resolve().parents[1] / "docs"

NAMES = {
    "resets": "default",
    "no-resets": "no resets",
    "coupled": "i = 1 - f",
    "decay-u": "decay of U times 10",
    "clipped": "c clipped to 3",
}
"""What the page calls each variant."""

DRAWN = ("resets", "no-resets")
"""Variants of the figure."""

GROWN_SIZE, GROWTH, TREND = 3.0, 2.0, 1.2
"""A cell grows if its mean |c| in the last tenth of the text is above the first, more than the second times that of
characters 1,000 to 5,000, and more than the third times that of the middle fifth. From the middle to the last tenth a
linear growth has a factor of 1.9, a random walk 1.4, and a cell at its limit 1.0."""

LARGE = 10.0
"""|c| that counts as large."""

Run = dict[str, Any]


def read_runs(path: Path) -> list[Run]:
    """Return the runs of a study."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def select(runs: Sequence[Run], **settings: object) -> list[Run]:
    """Return the runs with these settings."""
    return [run for run in runs if all(run["run"][name] == value for name, value in settings.items())]


def count_growing(run: Run) -> int:
    """Return the number of cells whose c grows through the text."""
    sizes = zip(*(run["cells"][name] for name in ("early", "middle", "last")), strict=True)
    return sum(last > max(GROWN_SIZE, GROWTH * early, TREND * middle) for early, middle, last in sizes)


def count_large(run: Run) -> int:
    """Return the number of cells whose |c| is large at least once."""
    return sum(size > LARGE for size in run["cells"]["max"])


def format_values(values: Sequence[float], digits: int) -> str:
    """Return the mean of values, and their standard deviation where there are at least two."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def tabulate(runs: Sequence[Run]) -> str:
    """Return a row for each text, rule of the first forget biases and variant: means over the seeds."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: list(NAMES).index(run["run"]["variant"])):
        low, high = run["run"]["first_forget_biases"]
        biases = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        groups.setdefault((Path(run["run"]["text"]).stem, biases, NAMES[run["run"]["variant"]]), []).append(run)
    rows = [
        [*names, str(len(groups[names])), *_format_group(groups[names])]
        for names in sorted(groups, key=lambda it: it[:2])
    ]
    titles = [
        "text", "first forget biases", "model", "seeds", "carried", "windowed 4,096", "windowed 16,384", "drift",
        "growing cells", "cells above 10", "largest c", "largest mean at the end",
    ]  # fmt: skip
    return format_table(titles, rows)


def _format_group(group: Sequence[Run]) -> list[str]:
    columns = [
        ([run["carried"] for run in group], 4),
        *(([run["windowed"][window] for run in group], 4) for window in ("4096", "16384")),
        ([run["drift"] for run in group], 5),
        ([count_growing(run) for run in group], 1),
        ([count_large(run) for run in group], 1),
        ([max(run["cells"]["max"]) for run in group], 1),
        ([max(run["cells"]["last"]) for run in group], 1),
    ]
    return [format_values(values, digits) for values, digits in columns]


def draw(runs: Sequence[Run]) -> bytes:
    """Return a PNG: the cells whose |c| is largest at the end, along each text, with and without resets.

    It shows the runs with the rule of initial weights of the last run.
    """
    runs = select(runs, first_forget_biases=runs[-1]["run"]["first_forget_biases"])
    texts = list(dict.fromkeys(run["run"]["text"] for run in runs))
    figure = Figure(figsize=(4 * len(texts), 3.4), layout="constrained")
    panels = figure.subplots(1, len(texts), sharey=True, squeeze=False)[0]
    for axes, text in zip(panels, texts, strict=True):
        for color, variant in enumerate(DRAWN):
            for run in select(runs, text=text, variant=variant, seed=1):
                _draw_courses(axes, run, f"C{color}", NAMES[variant])
        axes.set_title(Path(text).stem, fontsize=10)
        axes.set(xlabel="thousands of characters")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    panels[0].set(ylabel="mean c")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _draw_courses(axes: Axes, run: Run, color: str, name: str) -> None:
    for index, course in enumerate(run["cells"]["tracked"].values()):
        places = [(place + 0.5) / len(course) * run["num_chars"] / 1000 for place in range(len(course))]
        axes.plot(places, course, color, linewidth=0.8, alpha=0.8, label=None if index else name)


@click.command()
def main() -> None:
    """Write docs/cells.png, and print the table."""
    runs = read_runs(DOCS / "cells" / "results.jsonl")
    (DOCS / "cells.png").write_bytes(draw(runs))
    click.echo(tabulate(runs))


if __name__ == "__main__":
    main()
