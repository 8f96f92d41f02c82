#!/usr/bin/env python3
"""Print the findings of comparisons as the tables of docs/depth.md, a row for each budget."""

import json
from pathlib import Path
from typing import Any

import click

from charlm.comparison.table import format_table


def tabulate(results: dict[str, Any]) -> str:
    """Return a Markdown table of one comparison: losses by depth, and the gains of depths over others.

    Args:
        results: the content of its results.json.
    """
    depths = [arm["num_layers"] for arm in results["groups"][0]["arms"]]
    pairs = [(each["from_layers"], each["to_layers"]) for each in results["groups"][0]["differences"]]
    titles = [results["match"], *(f"{depth} deep" for depth in depths), *(f"{to} over {first}" for first, to in pairs)]
    return format_table(titles, [_format_group(group) for group in results["groups"]])


def _format_group(group: dict[str, Any]) -> list[str]:
    losses = [_format_arm(arm) for arm in group["arms"]]
    return [f"{group['budget']:,}", *losses, *(_format_gain(difference) for difference in group["differences"])]


def _format_arm(arm: dict[str, Any]) -> str:
    if arm["mean_loss_nats"] is None:
        return "–"
    return f"{arm['mean_loss_nats']:.4f}" + (f" ± {arm['sd_loss_nats']:.4f}" if arm["sd_loss_nats"] is not None else "")


def _format_gain(difference: dict[str, Any]) -> str:
    gain = f"{difference['mean_gain_nats']:+.4f}"
    if difference["interval_nats"] is None:
        return gain
    low, high = difference["interval_nats"]
    text = f"{gain} ({low:+.4f} to {high:+.4f})"
    return f"**{text}**" if difference["verdict"] in ("better", "worse") else text


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(paths: tuple[Path, ...]) -> None:
    """Print a table for each results.json of PATHS.

    The cells are mean test losses in nats ± standard deviation over seeds, then how much lower the loss of one depth is
    than that of another, with its 95 % interval, bold where the verdict is better or worse.
    """
    for path in paths:
        click.echo(f"{path}\n\n{tabulate(json.loads(path.read_bytes()))}\n")


if __name__ == "__main__":
    main()
