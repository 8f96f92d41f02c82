"""What a comparison found: results.json, report.md and curves.png."""

import json
import math
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from charlm.atomic import write_atomically
from charlm.comparison.arms import COUNTED, Arm
from charlm.comparison.experiment import ArmRun, Plan
from charlm.comparison.pairing import PairedDifference

Results = dict[str, Any]


def write_report(plan: Plan, runs: Sequence[ArmRun], directory: Path) -> str:
    """Write results.json, report.md and curves.png, and return the report.

    Raises:
        CharlmError: a file cannot be written.
    """
    results = summarize(plan, runs)
    report = format_report(results)
    write_atomically(directory / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    write_atomically(directory / "report.md", report.encode())
    draw_curves(plan.arms, runs, directory / "curves.png")
    return report


def summarize(plan: Plan, runs: Sequence[ArmRun]) -> Results:
    """Return the findings as plain values: the arms with their runs, and the differences paired by seed."""
    arms = [_summarize_arm(arm, [run for run in runs if run.arm == arm]) for arm in plan.arms]
    return {
        "counted": COUNTED,
        "budget": plan.arms[0].budget,
        "num_chars": runs[0].result.num_chars,
        "seeds": plan.seeds,
        "arms": arms,
        "differences": [_difference(plan.arms[0], arm, runs) for arm in plan.arms[1:]],
        "baselines_bits": runs[0].result.baselines_bits,
        "config": plan.config.model_dump(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _summarize_arm(arm: Arm, runs: Sequence[ArmRun]) -> Results:
    losses = [run.result.best_loss_nats for run in runs]
    return {
        "num_layers": arm.num_layers,
        "hidden_size": arm.hidden_size,
        "num_parameters": arm.num_parameters,
        "mismatch": arm.mismatch,
        "mean_loss_nats": statistics.fmean(losses),
        "sd_loss_nats": statistics.stdev(losses) if len(losses) > 1 else None,
        "runs": [
            {
                "seed": run.seed,
                "directory": run.directory.name,
                "best_loss_nats": run.result.best_loss_nats,
                "best_step": run.result.best_step,
                "last_loss_nats": run.result.last_loss_nats,
                "elapsed_s": run.result.elapsed_s,
                "curve": run.curve,
            }
            for run in runs
        ],
    }


def _difference(first: Arm, second: Arm, runs: Sequence[ArmRun]) -> Results:
    """Return how much lower the second arm's loss is than the first's, seed by seed."""
    losses = {(run.arm, run.seed): run.result.best_loss_nats for run in runs}
    seeds = sorted({run.seed for run in runs})
    difference = PairedDifference(tuple(losses[first, seed] - losses[second, seed] for seed in seeds))
    return {
        "from_layers": first.num_layers,
        "to_layers": second.num_layers,
        "gains_nats": difference.gains,
        "mean_gain_nats": difference.mean,
        "sd_gain_nats": difference.sd,
        "interval_95_nats": difference.interval,
        "verdict": difference.verdict,
        "num_seeds_to_decide": difference.num_seeds_to_decide,
    }


def format_report(results: Results) -> str:
    """Return the findings as Markdown that reads well on a terminal too."""
    num_seeds = len(results["seeds"])
    lines = [
        "# Depths at an equal number of parameters",
        "",
        f"Corpus {results['config']['data']['path']}, {results['num_chars']:,} characters seen by every run, "
        f"seeds {', '.join(map(str, results['seeds']))}.",
        f"Budget {results['budget']:,} parameters; counted is {results['counted']}.",
        "",
        "| layers | width | parameters | off budget | val loss, nats | sd | bits | perplexity | time |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for arm in results["arms"]:
        loss = arm["mean_loss_nats"]
        elapsed_s = statistics.fmean(run["elapsed_s"] for run in arm["runs"])
        lines.append(
            f"| {arm['num_layers']} | {arm['hidden_size']} | {arm['num_parameters']:,} | {arm['mismatch']:+.2%} "
            f"| {loss:.4f} | {_format_sd(arm['sd_loss_nats'])} | {loss / math.log(2):.4f} | {math.exp(loss):.3f} "
            f"| {elapsed_s:.0f} s |"
        )
    lines += ["", "Loss is the exact validation loss of the best checkpoint, the mean over seeds.", ""]
    lines += [_describe_difference(difference) for difference in results["differences"]]
    if num_seeds < 2:
        lines += ["", "One seed tells nothing about chance: nothing can be concluded from these differences."]
    return "\n".join(lines) + "\n"


def _describe_difference(difference: Results) -> str:
    gain, interval = difference["mean_gain_nats"], difference["interval_95_nats"]
    line = f"- {difference['to_layers']} layers against {difference['from_layers']}: loss lower by {gain:+.4f} nats"
    if interval is None:
        return f"{line}."
    line += f", 95 % interval {interval[0]:+.4f} to {interval[1]:+.4f} (Student's t, paired by seed): "
    if difference["verdict"] != "undecided":
        return f"{line}{difference['verdict']}."
    needed = difference["num_seeds_to_decide"]
    return f"{line}undecided; " + (
        f"about {needed} seeds would decide it." if needed else "no number of seeds in sight."
    )


def _format_sd(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def draw_curves(arms: Sequence[Arm], runs: Sequence[ArmRun], path: Path) -> None:
    """Draw validation loss against characters seen: a line a run, a colour a depth.

    Raises:
        CharlmError: the file cannot be written.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    colors = mpl.colormaps["viridis"].resampled(len(arms) + 1)
    for index, arm in enumerate(arms):
        label = f"{arm.num_layers} x {arm.hidden_size} ({arm.num_parameters:,} parameters)"
        for run in (run for run in runs if run.arm == arm):
            num_chars, losses = zip(*run.curve, strict=True)
            axes.plot([n / 1e6 for n in num_chars], losses, color=colors(index), marker=".", label=label, linewidth=1)
            label = "_same"  # one entry in the legend for all seeds
    axes.set_xlabel("characters seen, millions")
    axes.set_ylabel("validation loss, nats per character")
    axes.legend(title="layers x width")
    axes.grid(alpha=0.3)
    unfinished = path.with_name(f".{path.name}")
    figure.savefig(unfinished, format="png", dpi=150)
    unfinished.replace(path)
