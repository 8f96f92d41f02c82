"""The report of a comparison: report.md, with text and tables that are also readable in a terminal."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from charlm.comparison.advice import advise
from charlm.comparison.experiment import ArmOutcome
from charlm.comparison.figures import draw_curves, draw_depths, draw_trials
from charlm.comparison.length_figures import draw_lengths, draw_map
from charlm.comparison.plan import Plan
from charlm.comparison.results import ArmFindings, Group, Results, name_group, summarize
from charlm.comparison.search import SEARCHED
from charlm.comparison.table import format_table
from charlm.comparison.tuning_report import describe_edges, describe_tuning, format_tuning
from charlm.comparison.verdict_report import describe_difference, describe_statistics
from charlm.config.yaml_source import write_yaml
from charlm.system.files import write_atomically

NOTHING = "–"
"""Marks a missing value in a table."""


def write_report(plan: Plan, outcomes: Sequence[ArmOutcome], directory: Path, command: str) -> str:
    """Write results.json, report.md and the figures, and return the report.

    Args:
        plan: the planned runs.
        outcomes: the results of each arm.
        directory: where the files go.
        command: the command line of the comparison.

    Raises:
        CharlmError: a file cannot be written.
    """
    results = summarize(plan, outcomes, command)
    report = format_report(results)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / "results.json", (results.model_dump_json(indent=2) + "\n").encode())
    write_atomically(directory / "report.md", report.encode())
    write_atomically(directory / "curves.png", draw_curves(results))
    write_atomically(directory / "depth.png", draw_depths(results))
    if results.num_trials:
        write_atomically(directory / "tuning.png", draw_trials(results))
    if len({group.num_chars for group in results.groups}) > 1:
        write_atomically(directory / "lengths.png", draw_lengths(results))
        write_atomically(directory / "map.png", draw_map(results))
    return report


def format_report(results: Results) -> str:
    """Return the findings as Markdown."""
    parts = [
        f"# Depths matched by {results.match}",
        _describe_setting(results),
        *(_format_group(results, group) for group in results.groups),
        *format_tuning(results),
        "## The arms by part",
        _format_parts(results),
        *_format_failures(results),
        "## How it was run",
        f"    {results.command}",
        ", ".join(f"{name} {version}" for name, version in results.versions.items())
        + ". The configuration, in which depth, width and seed differ between runs:",
        "```yaml\n" + write_yaml(results.config) + "```",
        "## Advice",
        *advise(results),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_setting(results: Results) -> str:
    part = {"test": "test part, measured once, at the end,", "val": "validation part"}[results.loss]
    seeds = ", ".join(map(str, results.seeds))
    lines = [
        f"Corpus {results.config['data']['path']}; every run trains on {_list_lengths(results)} characters, in a table "
        f"the same in the same order; seeds {seeds}. {describe_tuning(results)}",
        f"Loss is that of the {part} on the weights with the lowest validation loss, mean and standard deviation (sd) "
        "over seeds.",
        *describe_statistics(results),
    ]
    return "\n\n".join(lines)


def _list_lengths(results: Results) -> str:
    return " or ".join(f"{num_chars:,}" for num_chars in dict.fromkeys(group.num_chars for group in results.groups))


def _format_group(results: Results, group: Group) -> str:
    titles = ["layers", "width", "parameters", "off budget", *SEARCHED.values(), f"{results.loss} loss, nats", "sd"]
    titles += ["bits", "perplexity", "val loss", "characters/s", "time, s"]
    table = format_table(titles, [_format_arm(arm) for arm in group.arms])
    verdicts = "\n".join(describe_difference(difference, results.seeds) for difference in group.differences)
    verdicts = verdicts or "No two depths have a finished run."
    return "\n\n".join([f"## {name_group(results, group)}", table, verdicts, *describe_edges(group)])


def _format_arm(arm: ArmFindings) -> list[str]:
    def mean(values: Sequence[float], spec: str) -> str:
        return format(statistics.fmean(values), spec) if values else NOTHING

    def show(value: float | None, spec: str) -> str:
        return NOTHING if value is None else format(value, spec)

    return [
        f"{arm.num_layers}",
        f"{arm.hidden_size:,}",
        f"{arm.num_parameters:,}",
        f"{arm.mismatch:+.2%}",
        *(show((arm.values or {}).get(key), ".3g") for key in SEARCHED),
        show(arm.mean_loss_nats, ".4f"),
        show(arm.sd_loss_nats, ".4f"),
        show(arm.mean_bits, ".4f"),
        show(arm.perplexity, ".3f"),
        mean([run.val_loss_nats for run in arm.runs], ".4f"),
        mean([run.chars_per_s for run in arm.runs], ",.0f"),
        mean([run.elapsed_s for run in arm.runs], ",.0f"),
    ]


def _format_parts(results: Results) -> str:
    titles = ["budget", "layers", "width", "embedding", "LSTM layers", "output", "MACs per character"]
    rows = [
        [f"{count:,}" for count in (group.budget, arm.num_layers, arm.hidden_size, *arm.parameters.values())]
        + [f"{arm.num_products:,}"]
        for group in results.groups
        for arm in group.arms
    ]
    return format_table(titles, [list(row) for row in dict.fromkeys(map(tuple, rows))])  # lengths share their arms


def _format_failures(results: Results) -> list[str]:
    failures = [
        f"- {name}: {reason}" for group in results.groups for arm in group.arms for name, reason in arm.failures.items()
    ]
    return ["## What did not finish", "\n".join(failures)] if failures else []
