#!/usr/bin/env python3
"""Kill training runs with SIGKILL, resume them, and compare the results bit by bit with those of an uninterrupted run.

Every trial is a new run: a process of `charlm train` is killed once and then resumed to the end. Even trials kill the
process at a random time. Odd trials kill it while it writes a checkpoint or just after, which is detected by the
temporary file of the write.
"""

import contextlib
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import click
import torch

import charlm.training.loop
import charlm.training.tensorboard  # noqa: F401  # these two before processes are forked
from charlm import cli
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory

TEXT = "".join(f"{n} green bottles hanging on the wall, and if one should fall...\n" for n in range(400, 0, -1))

CONFIG = """\
data: {{path: {path}, test_frac: 0.1}}
model: {{num_layers: 2, hidden_size: 16, embed_size: 8, dropout: 0.1}}
train: {{batch_size: 4, seq_length: 16, max_steps: {steps}, warmup_steps: 5, log_every: 3, eval_every: 40,
        checkpoint_every: 4, device: cpu, precision: fp32}}
sample: {{length: 20}}
"""

TIMES = {"chars_per_s", "elapsed_s", "training_s", "metrics"}
"""Fields that are excluded from the comparison because they depend on time; ``metrics`` is a checksum of others."""

FAST_WRITE_S, SLOW_WRITE_S = 0.0003, 0.004
"""Approximate durations of writing the small checkpoint, on an idle and on a busy machine; a kill during a write waits
for a random part of one of them."""


@dataclass
class Tally:
    """Counts over all trials.

    Attributes:
        kills: processes terminated by the signal.
        late: processes that had finished before the signal.
        inside_writes: kills that left a temporary file of a checkpoint.
        exact: runs whose result equals that of the uninterrupted run.
    """

    kills: int = 0
    late: int = 0
    inside_writes: int = 0
    exact: int = 0


def train_quietly(directory: Path, config: Path) -> None:
    """Start or resume the training as the command line does, and end this process with its exit status."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.exit(cli.run(["train", str(config), "--out", str(directory), "--resume"]))


def start(directory: Path, config: Path) -> BaseProcess:
    """Start a training process. It is forked from this one, which has imported charlm already, to save seconds."""
    process = multiprocessing.get_context("fork").Process(target=train_quietly, args=(directory, config))
    process.start()
    return process


def train_to_end(directory: Path, config: Path) -> None:
    """Start or resume a run, and wait until it has finished."""
    process = start(directory, config)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{directory}: exit status {process.exitcode}")


def wait_random_time(process: BaseProcess, directory: Path, duration_s: float, rng: random.Random) -> None:
    """Wait for a random part of the duration of a whole run."""
    time.sleep(rng.uniform(0, duration_s))


def wait_for_write(process: BaseProcess, directory: Path, duration_s: float, rng: random.Random) -> None:
    """Wait until the write of a random checkpoint begins, and then for a random part of it."""
    name, max_skipped = rng.choice([("last", 30), ("last", 30), ("last", 30), ("best", 2)])
    prefix = f".{name}.pt."
    for num_to_skip in range(rng.randint(0, max_skipped), -1, -1):
        while process.is_alive() and not is_writing(directory, prefix):
            pass
        time.sleep(SLOW_WRITE_S if num_to_skip else 0)
    ends_at_s = time.perf_counter() + rng.uniform(0, rng.choice([FAST_WRITE_S, SLOW_WRITE_S]))
    while time.perf_counter() < ends_at_s:
        pass


def is_writing(directory: Path, prefix: str) -> bool:
    """Return whether a directory has a temporary file with a prefix; it may not exist yet."""
    with contextlib.suppress(FileNotFoundError):
        return any(name.startswith(prefix) for name in os.listdir(directory))  # noqa: PTH208  # Path is too slow here
    return False


def kill_one(directory: Path, config: Path, duration_s: float, is_inside_write: bool, rng: random.Random) -> bool:
    """Start a run and kill it; return False if it had ended before."""
    process = start(directory, config)
    (wait_for_write if is_inside_write else wait_random_time)(process, directory, duration_s, rng)
    process.kill()
    process.join()
    return process.exitcode != 0


def without_times(value: Any) -> Any:
    """Return nested values without the fields in ``TIMES``."""
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list | tuple) else value


def is_equal(first: Any, second: Any) -> bool:
    """Return whether nested values and tensors are equal, bit for bit."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(is_equal, first, second))
    return bool(first == second)


def read_result(directory: Path) -> dict[str, Any]:
    """Return the content of a run directory, without times."""
    run = RunDirectory(directory)
    checkpoints = {path.name: vars(load_checkpoint(path)) for path in (run.last_path, run.best_path)}
    samples = {path.name: path.read_bytes() for path in (directory / "samples").iterdir()}
    vocabularies = [content.pop("vocabulary").to_plain() for content in checkpoints.values()]
    leftovers = sorted(path.name for path in directory.rglob("*unfinished*"))
    ending_without_times: dict[str, Any] = without_times(
        {
            **checkpoints,
            "rows": run.read_rows(),
            "samples": samples,
            "vocabularies": vocabularies,
            "leftovers": leftovers,
        }
    )
    return ending_without_times


def torture(folder: Path, kills: int, steps: int, seed: int) -> Tally:
    """Run trials in a folder until ``kills`` processes were killed."""
    rng = random.Random(seed)  # noqa: S311  # not for cryptography
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(path=folder / "text.txt", steps=steps), encoding="utf-8")
    train_to_end(folder / "uninterrupted", config)
    started_at_s = time.perf_counter()
    train_to_end(folder / "timed", config)  # the first run may have built the kernels
    duration_s = time.perf_counter() - started_at_s
    uninterrupted = read_result(folder / "uninterrupted")
    tally = Tally()
    for trial in itertools.count():
        if tally.kills == kills:
            return tally
        directory = folder / f"run-{trial}"
        if not kill_one(directory, config, duration_s, trial % 2 == 1, rng):
            tally.late += 1
            continue
        tally.kills += 1
        tally.inside_writes += any(is_writing(directory, f".{name}.pt.") for name in ("last", "best"))
        train_to_end(directory, config)
        is_exact = is_equal(read_result(directory), uninterrupted)
        tally.exact += is_exact
        if not is_exact:
            click.echo(f"{directory} has a different result", err=True)
    raise AssertionError("itertools.count has no end")


@click.command()
@click.option("--kills", type=click.IntRange(1), default=100, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of each run.")
@click.option("--seed", default=1, show_default=True, help="Seed of the times of the kills.")
def main(kills: int, steps: int, seed: int) -> None:
    """Kill runs, resume them and compare their results; exit with status 1 unless all are exact."""
    torch.set_num_threads(1)  # threads do not survive a fork
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tally = torture(Path(folder), kills, steps, seed)
    click.echo(
        f"{tally.kills} kills, {tally.inside_writes} of them while a checkpoint was being written: {tally.exact} exact "
        f"results ({tally.late} runs had ended before the kill)"
    )
    sys.exit(0 if tally.exact == tally.kills else 1)


if __name__ == "__main__":
    main()
