"""The report of a comparison: report.md, with text and tables that are also readable in a terminal."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from charlm.comparison.arms import UNITS
from charlm.comparison.experiment import ArmOutcome
from charlm.comparison.figures import draw_curves, draw_depths, draw_trials
from charlm.comparison.plan import Plan
from charlm.comparison.results import ArmFindings, Difference, Group, Results, summarize
from charlm.comparison.search import SEARCHED
from charlm.comparison.table import format_table
from charlm.comparison.tuning_report import describe_edges, describe_tuning, format_tuning
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
    ]
    return "\n\n".join(parts) + "\n"


def _describe_setting(results: Results) -> str:
    part = {"test": "test part, measured once, at the end,", "val": "validation part"}[results.loss]
    seeds = ", ".join(map(str, results.seeds))
    lines = [
        f"Corpus {results.config['data']['path']}; every run trains on {results.num_chars:,} characters, the same in "
        f"the same order; seeds {seeds}. {describe_tuning(results)}",
        f"Loss is that of the {part} on the weights with the lowest validation loss, mean and standard deviation (sd) "
        "over seeds. Differences are paired by seed, with 95 % intervals by Student's t.",
    ]
    if len(results.seeds) < 2:
        lines.append("**One seed gives no estimate of chance: nothing can be concluded from these differences.**")
    return "\n\n".join(lines)


def _format_group(results: Results, group: Group) -> str:
    unit = UNITS[results.match]
    titles = ["layers", "width", "parameters", "off budget", *SEARCHED.values(), f"{results.loss} loss, nats", "sd"]
    titles += ["bits", "perplexity", "val loss", "characters/s", "time, s"]
    table = format_table(titles, [_format_arm(arm) for arm in group.arms])
    at_edge = {arm.num_layers for arm in group.arms if arm.edge}
    verdicts = "\n".join(
        _describe_difference(difference)
        for difference in group.differences
        if not {difference.from_layers, difference.to_layers} & at_edge
    )
    verdicts = verdicts or "No two depths can be compared: none share a finished seed, or all are at an edge."
    return "\n\n".join([f"## {group.budget:,} {unit}", table, verdicts, *describe_edges(group)])


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


def _describe_difference(difference: Difference) -> str:
    first, second = _count_layers(difference.from_layers), _count_layers(difference.to_layers)
    gain, interval = difference.mean_gain_nats, difference.interval_nats
    if interval is None:
        return f"- {second} against {first}: gain {gain:+.4f} nats under one seed, which is not enough to decide."
    between = f"95 % interval {interval[0]:+.4f} to {interval[1]:+.4f}, {len(difference.seeds)} seeds"
    if difference.verdict == "undecided":
        more = (difference.num_seeds_to_decide or 0) - len(difference.seeds)
        what = f"about {more} more {'seed' if more == 1 else 'seeds'}" if more > 0 else "no number of seeds in sight"
        return f"- **Undecided**: {second} against {first}, gain {gain:+.4f} nats ({between}); {what} would decide it."
    is_better = difference.verdict == "better"
    word = "lower" if is_better else "higher"
    return (
        f"- {second} **{'beat' if is_better else 'lose to'}** {first}: loss {word} by {abs(gain):.4f} nats ({between})."
    )


def _count_layers(num_layers: int) -> str:
    return "1 layer" if num_layers == 1 else f"{num_layers} layers"


def _format_parts(results: Results) -> str:
    titles = ["budget", "layers", "width", "embedding", "LSTM layers", "output", "MACs per character"]
    rows = [
        [f"{count:,}" for count in (group.budget, arm.num_layers, arm.hidden_size, *arm.parameters.values())]
        + [f"{arm.num_products:,}"]
        for group in results.groups
        for arm in group.arms
    ]
    return format_table(titles, rows)


def _format_failures(results: Results) -> list[str]:
    failures = [
        f"- {name}: {reason}" for group in results.groups for arm in group.arms for name, reason in arm.failures.items()
    ]
    return ["## What did not finish", "\n".join(failures)] if failures else []
