"""Results of the commands as short tables for a terminal."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most of these would load torch
    from charlm.config import Config
    from charlm.inference.evaluation import Evaluation
    from charlm.runs.overview import RunSummary
    from charlm.training.dry_run import DryRun
    from charlm.training.result import TrainingResult


def format_duration(duration_s: float) -> str:
    """Return a readable duration, such as ``1 h 05 min`` or ``42 s``."""
    seconds = round(duration_s)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def format_bytes(size_bytes: float) -> str:
    """Return a size in MiB."""
    return f"{size_bytes / 2**20:,.1f} MiB"


def bits_name(level: str) -> str:
    """Return the unit that bits are counted per: characters or bytes."""
    return "bits per byte" if level == "byte" else "bits per character"


def format_result(config: "Config", out: Path, result: "TrainingResult") -> str:
    """Return the results of a finished run and the baselines."""
    bits = bits_name(config.data.level)
    baselines = ", ".join(f"{name} {value:.3f}" for name, value in result.baselines_bits.items())
    return "\n".join(
        [
            f"{out}: {result.steps:,} steps, {result.num_chars:,} characters, {format_duration(result.elapsed_s)}",
            f"  val loss   {result.best_loss_nats:.4f} nats = {result.best_bits_per_char:.3f} {bits}, "
            f"best at step {result.best_step:,}",
            *_describe_early_stop(config, result),
            f"  baselines  {baselines} {bits}",
            *(f"  problem    {problem}" for problem in result.problems),
            f"  go on with: charlm sample {out}",
        ]
    )


def _describe_early_stop(config: "Config", result: "TrainingResult") -> list[str]:
    """Return a line about the end of a run that stopped early; none for another run."""
    if result.early_stop_step is None:
        return []
    validations = f"{config.train.patience} validation{'s' if config.train.patience > 1 else ''}"
    return [
        f"  end        stopped early at step {result.steps:,}: at step {result.early_stop_step:,} the validation loss "
        f"had not fallen for {validations}; lowest at step {result.best_step:,}"
    ]


def format_evaluation(name: str, evaluation: "Evaluation", window: int | None, level: str) -> str:
    """Return an evaluation in two lines."""
    how = "state carried through" if window is None else f"from the zero state every {window} characters"
    unknown = f"; {evaluation.num_unknown:,} unknown ones left out" if evaluation.num_unknown else ""
    unknown += f" ({evaluation.unknown_frac:.2%} of the text)" if evaluation.num_unknown else ""
    return (
        f"{name}: {evaluation.loss_nats:.4f} nats, {evaluation.bits_per_char:.4f} {bits_name(level)}, "
        f"perplexity {evaluation.perplexity:.3f}\n  {evaluation.num_chars:,} characters predicted, {how}{unknown}"
    )


def format_dry_run(config: "Config", plan: "DryRun") -> str:
    """Return the size and the cost of a planned run, line by line."""
    rarest = ", ".join(f"{symbol!r} {count:,}x" for symbol, count in plan.rarest)
    lines = ["parameters"]
    lines += [f"  {part:<30}{count:>14,}" for part, count in plan.num_parameters.items()]
    lines += ["corpus", f"  {config.data.path}, level {config.data.level}"]
    lines += [f"  {part:<30}{size:>14,}" for part, size in plan.split_sizes.items()]
    lines += [f"  {'vocabulary':<30}{plan.vocabulary_size:>14,}", f"  rarest: {rarest}"]
    lines += ["memory"]
    lines += [f"  {part:<30}{format_bytes(size):>14}" for part, size in plan.memory_bytes.items()]
    if plan.chars_per_s is not None and plan.duration_s is not None:
        lines += ["speed", f"  {'characters per second':<30}{plan.chars_per_s:>14,.0f}"]
        limit = "at most" if config.train.patience > 0 else "expected"
        lines += [f"  {f'whole training, {limit}':<30}{format_duration(plan.duration_s):>14}"]
    lines += [f"baselines on the val part, {bits_name(config.data.level)}"]
    lines += [f"  {name:<30}{value:>14.3f}" for name, value in plan.baselines_bits.items()]
    return "\n".join(lines)


RUN_TITLES = ("run", "model", "parameters", "text", "steps", "val nats", "val bits", "time", "state")
LEFT_ALIGNED = ("run", "text", "state")


def format_runs(runs: "Sequence[RunSummary]") -> str:
    """Return an overview of runs, a line each; what is not known is ``-``."""
    rows = [RUN_TITLES, *map(_format_run, runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if title in LEFT_ALIGNED else cell.rjust(width)
            for title, cell, width in zip(RUN_TITLES, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _format_run(run: "RunSummary") -> tuple[str, ...]:
    model, loss_nats = run.config and run.config.model, run.best_loss_nats
    return (
        str(run.path),
        f"{model.num_layers} x {model.hidden_size}" if model else "-",
        "-" if run.num_parameters is None else f"{run.num_parameters:,}",
        run.config.data.path if run.config else "-",
        "-" if run.step is None else f"{run.step:,}" + (f" of {run.last_step:,}" if run.last_step else ""),
        "-" if loss_nats is None else f"{loss_nats:.4f}",
        "-" if loss_nats is None else f"{loss_nats / math.log(2):.4f}",
        "-" if run.elapsed_s is None else format_duration(run.elapsed_s),
        "running now" if run.state == "running" else run.state,
    )
