"""charlm runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlm.cli.completion import complete_filter
from charlm.cli.json_output import describe_run, print_json
from charlm.cli.options import PATH, examples
from charlm.cli.output import show, warn

if TYPE_CHECKING:
    from charlm.runs.overview import RunSummary

ORDERS = ("loss", "run", "parameters", "text", "steps", "time", "state")
"""The orders of runs/selection.py, which would load torch for ``--help``; a test compares the two."""

MAX_PROBLEMS = 5
"""Maximum number of problems below a table; ``--json`` has all of them."""


@click.command(
    short_help="Print a table of trained runs.",
    epilog=examples("charlm runs", "charlm runs runs/depth --filter model.num_layers=2 --sort time"),
)
@click.argument("directories", metavar="[DIR]...", nargs=-1, type=PATH)
@click.option(
    "--sort", "order", type=click.Choice(ORDERS), default="loss", show_default=True, help="The order of the runs."
)
@click.option(
    "--filter",
    "filters",
    metavar="KEY=VALUE",
    multiple=True,
    shell_complete=complete_filter,
    help="Only runs with this value of a configuration key, or with state=finished, stopped, running or damaged.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: all that is known of each run.")
def runs(directories: tuple[Path, ...], order: str, filters: tuple[str, ...], as_json: bool) -> None:
    """Print a table of the runs in each DIR and below it; by default in runs.

    It has the size of each model, its text, the steps done of those planned, the lowest validation loss in nats and in
    bits per character (per byte for data.level=byte), the time so far, and the state. What is damaged is named below,
    but the tensors in the checkpoints and config.yaml are not read.
    """
    from charlm.runs.overview import find_runs, summarize
    from charlm.runs.selection import parse_filter, select

    conditions = [parse_filter(text) for text in filters]
    directories = directories or (Path("runs"),)
    found = {run.path.absolute(): run for directory in directories for run in find_runs(directory, warn)}
    chosen = select(map(summarize, found.values()), conditions, order)
    if as_json:
        print_json({"runs": [describe_run(run) for run in chosen]})
        return
    _print(chosen, len(found), directories)


def _print(chosen: "list[RunSummary]", num_found: int, directories: tuple[Path, ...]) -> None:
    from charlm.cli.tables import format_runs

    if not num_found:
        show(f"There is no run in {', '.join(map(str, directories))}.", err=True)
    elif not chosen:
        show(f"None of the {num_found:,} runs is like that.", err=True)
    else:
        show(format_runs(chosen))
    problems = [problem for run in chosen for problem in run.problems]
    for problem in problems[:MAX_PROBLEMS]:
        warn(problem)
    if len(problems) > MAX_PROBLEMS:
        warn(f"and {len(problems) - MAX_PROBLEMS:,} more problems; --json has all of them.")
