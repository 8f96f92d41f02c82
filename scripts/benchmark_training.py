"""Measures the training time to a target validation loss, and the loss after a given time.

    python scripts/benchmark_training.py configs/tinyshakespeare.yaml

The number of steps is computed from the measured speed, so that the run with its validations takes the given time and
completes its learning-rate schedule. The time does not include the start of Python and the loading of the text.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from charlm.config import Config, load_config
from charlm.inference.evaluation import evaluate
from charlm.runs.directory import RunDirectory
from charlm.system.process import keep_freed_memory
from charlm.text.corpus import load_corpus
from charlm.training.dry_run import measure_speed
from charlm.training.loop import train
from charlm.training.session import Session


def plan_steps(config: Config, seconds: float, validations: int) -> int:
    """Return the number of steps that, together with the validations, take the given seconds on this machine."""
    session = Session(config, load_corpus(config.data.path, config.data.level))
    began_at_s = time.perf_counter()
    evaluate(session.model, session.splits.val)
    validation_s = time.perf_counter() - began_at_s
    validation_s *= 2 if session.average else 1  # the average and the weights of the last step are both measured
    steps_per_s = measure_speed(session) / session.chars_per_step
    return max(validations, int((seconds - validations * validation_s) * steps_per_s))


def run_once(config: Config, seed: int, target: float) -> tuple[float | None, float, float]:
    """Train once; return the seconds to the target or None, the last validation loss, and the seconds to it."""
    with tempfile.TemporaryDirectory() as directory:
        train(config.replace("train", seed=seed), Path(directory) / "run")
        rows = [row for row in RunDirectory(Path(directory) / "run").read_rows() if row["split"] == "val"]
    reached = next((row["elapsed_s"] for row in rows if row["loss_nats"] < target), None)
    return reached, rows[-1]["loss_nats"], rows[-1]["elapsed_s"]


def describe(values: Sequence[float]) -> str:
    """Return the minimum, median and maximum of the values as text."""
    ordered = sorted(values)
    return f"min {ordered[0]:.4g}, median {ordered[len(ordered) // 2]:.4g}, max {ordered[-1]:.4g}"


@click.command()
@click.argument("config_path", type=click.Path(path_type=Path, exists=True))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--seconds", default=82.0, show_default=True, help="Duration of the run.")
@click.option("--target", default=1.88, show_default=True, help="Validation loss to reach, nats per character.")
@click.option(
    "--validations", default=8, show_default=True, type=click.IntRange(1), help="Number of validations, evenly spaced."
)
@click.option(
    "--seeds", default=1, show_default=True, type=click.IntRange(1), help="Number of runs, with seeds 1, 2, ..."
)
def main(
    config_path: Path, overrides: tuple[str, ...], seconds: float, target: float, validations: int, seeds: int
) -> None:
    """Train CONFIG_PATH for a given time; print the seconds to the target loss and the final loss."""
    keep_freed_memory()
    config = load_config(config_path, overrides)
    steps = plan_steps(config, seconds, validations)
    every = max(1, steps // validations)
    config = config.replace("train", max_steps=steps, eval_every=every, checkpoint_every=steps)
    click.echo(f"{steps} steps, a validation every {every}, {torch.get_num_threads()} threads")
    reached_s, losses = [], []
    for seed in range(1, seeds + 1):
        reached, loss_nats, elapsed_s = run_once(config, seed, target)
        words = f"under {target} after {reached:.1f} s" if reached is not None else f"never under {target}"
        click.echo(f"seed {seed}: {words}; {loss_nats:.4f} nats after {elapsed_s:.1f} s")
        losses.append(loss_nats)
        reached_s += [] if reached is None else [reached]
    click.echo(f"final loss: {describe(losses)} nats")
    if reached_s:
        click.echo(f"seconds to {target}: {describe(reached_s)}")


if __name__ == "__main__":
    main()
