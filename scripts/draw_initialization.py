#!/usr/bin/env python3
"""Draw docs/initialization.png from docs/initialization/results.jsonl, and print the tables of the page."""

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
    "former": "all bounds 1/sqrt(fan-in)",
    "factor-4": "upper and output bounds times 4",
    "chosen": "the rule",
    "forget-minus-1": "forget bias -1 in all layers",
}
"""What the page calls each rule."""

DRAWN = ("former", "factor-4", "chosen")
"""Rules of the figure."""

SHORT_RULES, LONG_RULES = ("former", "factor-4", "forget-minus-1", "chosen"), ("forget-minus-1", "chosen")
"""Rules of the two tables."""

SHORT, LONG = 300, 1200
"""Steps of the runs of the two tables; the figure shows the short ones."""

SHOWN_TEXT, SHOWN_WIDTH, SHOWN_DEPTH = "tinyshakespeare.txt", 192, 6
"""Which runs the figure shows."""

Run = dict[str, Any]


def read_runs(path: Path) -> list[Run]:
    """Return the runs of a study."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def select(runs: Sequence[Run], **settings: object) -> list[Run]:
    """Return the runs with these settings."""
    return [run for run in runs if all(run["run"][name] == value for name, value in settings.items())]


def tabulate(runs: Sequence[Run], rules: Sequence[str], texts: Sequence[str]) -> str:
    """Return validation losses, mean over seeds and the spread from seed to seed, a row for each width and depth."""
    found = {rule: {(run["run"]["width"], run["run"]["layers"]) for run in select(runs, rule=rule)} for rule in rules}
    sizes = sorted(set.intersection(*found.values()))
    rows = []
    for text in texts:
        for width, layers in sizes:
            groups = [select(runs, rule=rule, text=text, width=width, layers=layers) for rule in rules]
            rows.append([Path(text).stem, f"{layers} x {width}", *map(_format_losses, groups)])
    return format_table(["text", "layers x width", *(NAMES[rule] for rule in rules)], rows)


def _format_losses(runs: Sequence[Run]) -> str:
    losses = [run["validation"] for run in runs]
    spread = f" ± {statistics.stdev(losses):.3f}" if len(losses) > 1 else ""
    return f"{statistics.fmean(losses):.3f}{spread}"


def make_tables(runs: Sequence[Run]) -> list[str]:
    """Return the tables of the page, of short and of long runs."""
    texts = list(dict.fromkeys(run["run"]["text"] for run in runs))
    groups = ((SHORT, SHORT_RULES), (LONG, LONG_RULES))
    return [tabulate(select(runs, steps=steps), rules, texts) for steps, rules in groups]


def draw(runs: Sequence[Run]) -> bytes:
    """Return a PNG: the size of the signal by layer at the start, and the training loss of shallow and deep models."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    by_layer, by_step = figure.subplots(1, 2)
    shown = select(runs, steps=SHORT, text=SHOWN_TEXT, width=SHOWN_WIDTH)
    for color, rule in enumerate(DRAWN):
        [first, *_] = select(shown, rule=rule, layers=SHOWN_DEPTH, seed=1)
        sizes = [layer["wx"] for layer in first["signal"]["layers"]] + [first["signal"]["logits"]]
        by_layer.plot(range(1, len(sizes) + 1), sizes, f"C{color}o-", label=NAMES[rule])
        for layers, style in ((1, "--"), (SHOWN_DEPTH, "-")):
            _draw_curve(
                by_step, select(shown, rule=rule, layers=layers), f"C{color}{style}", f"{layers}: {NAMES[rule]}"
            )
    ticks = [*map(str, range(1, SHOWN_DEPTH + 1)), "logits"]
    by_layer.set(yscale="log", xlabel="layer", ylabel="root mean square of W x at the start")
    by_layer.set_xticks(range(1, SHOWN_DEPTH + 2), ticks)
    by_step.set(xlabel="step", ylabel="training loss, nats per character", ylim=(1.4, 4.0))
    by_step.legend(title="layers: initial weights", fontsize=8)
    by_layer.legend(fontsize=8)
    for axes in (by_layer, by_step):
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    return picture.getvalue()


def _draw_curve(axes: Axes, runs: Sequence[Run], style: str, label: str) -> None:
    losses = [statistics.fmean(values) for values in zip(*(run["losses"] for run in runs), strict=True)]
    axes.plot([10 * (index + 1) for index in range(len(losses))], losses, style, linewidth=1.2, label=label)


@click.command()
def main() -> None:
    """Write docs/initialization.png, and print the tables."""
    runs = read_runs(DOCS / "initialization" / "results.jsonl")
    (DOCS / "initialization.png").write_bytes(draw(runs))
    click.echo("\n\n".join(make_tables(runs)))


if __name__ == "__main__":
    main()
