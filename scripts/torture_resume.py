#!/usr/bin/env python3
"""Kill real training runs with SIGKILL, resume each, and compare its ending with that of a run left alone, bit by bit.

Every trial is a run of its own: `charlm train` in a process, killed once, then resumed to its end. The moments take
turns: anywhere between the process's start and its end; and, on purpose, inside the write of a checkpoint, seen by
the unfinished file beside it, or just after.
"""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch

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

TIMES = {"chars_per_s", "elapsed_s", "training_s"}
"""What a clock says differs from run to run."""

LONGEST_WRITE_S = 0.004
"""A write of the small checkpoint takes about this long; a kill that is aimed at it waits for some part of it."""


@dataclass
class Tally:
    """What the trials came to.

    Attributes:
        kills: processes that died of the signal.
        late: processes that had finished before it.
        inside_writes: kills that left an unfinished file.
        exact: endings equal to that of the unbroken run.
    """

    kills: int = 0
    late: int = 0
    inside_writes: int = 0
    exact: int = 0


def command(directory: Path, config: Path) -> list[str]:
    """Return the command that trains, or goes on."""
    return [sys.executable, "-m", "charlm", "train", str(config), "--out", str(directory), "--resume"]


@contextmanager
def process_of(directory: Path, config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give a training process that does not outlive the context."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command(directory, config), **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_anywhere(process: subprocess.Popen[bytes], directory: Path, duration_s: float, chance: random.Random) -> None:
    """Wait for some part of the time that a whole run takes."""
    time.sleep(chance.uniform(0, duration_s))


def wait_for_write(process: subprocess.Popen[bytes], directory: Path, duration_s: float, chance: random.Random) -> None:
    """Wait for some checkpoint's write to begin, and for some part of it."""
    name, most_before = chance.choice([("last", 30), ("last", 30), ("last", 30), ("best", 2)])
    unfinished = directory / f".{name}.pt.unfinished"
    for is_still_before in range(chance.randint(0, most_before), -1, -1):
        while process.poll() is None and not os.path.exists(unfinished):  # noqa: PTH110  # Path is too slow here
            pass
        time.sleep(LONGEST_WRITE_S if is_still_before else 0)
    ends_at_s = time.perf_counter() + chance.uniform(0, LONGEST_WRITE_S)
    while time.perf_counter() < ends_at_s:
        pass


def kill_one(directory: Path, config: Path, duration_s: float, is_aimed: bool, chance: random.Random) -> bool:
    """Start a run and kill it; return False where it had ended before."""
    with process_of(directory, config) as process:
        (wait_for_write if is_aimed else wait_anywhere)(process, directory, duration_s, chance)
        process.kill()
        return process.wait() != 0


def without_times(value: Any) -> Any:
    """Return nested plain values without what a clock says."""
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list | tuple) else value


def is_equal(first: Any, second: Any) -> bool:
    """Return whether nested plain values and tensors are equal to the bit."""
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(is_equal, first, second))
    return bool(first == second)


def read_ending(directory: Path) -> dict[str, Any]:
    """Return all that a run left behind, but for what a clock says."""
    run = RunDirectory(directory)
    ending = {path.name: vars(load_checkpoint(path)) for path in (run.last_path, run.best_path)}
    samples = {path.name: path.read_bytes() for path in (directory / "samples").iterdir()}
    vocabularies = [content.pop("vocabulary").to_plain() for content in ending.values()]
    scraps = sorted(path.name for path in directory.rglob("*unfinished*"))
    return without_times(
        {**ending, "rows": run.read_rows(), "samples": samples, "vocabularies": vocabularies, "scraps": scraps}
    )


def torture(folder: Path, kills: int, steps: int, seed: int) -> Tally:
    """Run the trials in a folder until so many processes were killed."""
    chance = random.Random(seed)  # noqa: S311  # moments, not secrets
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(path=folder / "text.txt", steps=steps), encoding="utf-8")
    started_at_s = time.perf_counter()
    subprocess.run(command(folder / "unbroken", config), check=True, capture_output=True)
    duration_s = time.perf_counter() - started_at_s
    unbroken = read_ending(folder / "unbroken")
    tally = Tally()
    for trial in itertools.count():
        if tally.kills == kills:
            return tally
        directory = folder / f"run-{trial}"
        if not kill_one(directory, config, duration_s, trial % 2 == 1, chance):
            tally.late += 1
            continue
        tally.kills += 1
        tally.inside_writes += any(directory.glob(".*.pt.unfinished"))
        subprocess.run(command(directory, config), check=True, capture_output=True)
        is_exact = is_equal(read_ending(directory), unbroken)
        tally.exact += is_exact
        if not is_exact:
            click.echo(f"{directory} ended otherwise", err=True)
    raise AssertionError("itertools.count has no end")


@click.command()
@click.option("--kills", type=click.IntRange(1), default=100, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=200, show_default=True, help="Steps of each run.")
@click.option("--seed", default=1, show_default=True, help="Of the moments.")
def main(kills: int, steps: int, seed: int) -> None:
    """Kill runs, resume them, compare their endings; exit status 1 unless all are exact."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tally = torture(Path(folder), kills, steps, seed)
    click.echo(
        f"{tally.kills} kills, {tally.inside_writes} of them inside a checkpoint's write: {tally.exact} exact endings "
        f"({tally.late} runs had ended before their kill)"
    )
    sys.exit(0 if tally.exact == tally.kills else 1)


if __name__ == "__main__":
    main()
