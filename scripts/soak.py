#!/usr/bin/env python3
"""Soak test: train a tiny model for many steps and monitor memory, open files and the size of the log."""

import io
import os
import resource
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import click

from charlm.cli.progress import ProgressReporter
from charlm.config import Config
from charlm.training.loop import train

TEXT = "".join(f"{n} green bottles hanging on the wall, and if one should fall...\n" for n in range(400, 0, -1))
NUM_SAMPLES = 20


def sample_process() -> tuple[float, int]:
    """Return the resident set in MiB and the number of open files of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20, len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # counts itself too


class MonitoringReporter(ProgressReporter):
    """A reporter that samples the process at regular intervals.

    Attributes:
        samples: resident set in MiB and number of open files, at evenly spaced steps.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.samples: list[tuple[float, int]] = []
        self._every = max(1, steps // NUM_SAMPLES)

    def advance(self, step: int, num_chars: int) -> None:
        """Sample the process if it is time."""
        super().advance(step, num_chars)
        if step % self._every == 0:
            self.samples.append(sample_process())


def soak(folder: Path, steps: int) -> tuple[list[tuple[float, int]], int]:
    """Train for a number of steps; return the samples, and the size of the log on stderr in bytes."""
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    config = (
        Config()
        .replace("data", path=str(folder / "text.txt"))
        .replace("model", num_layers=1, hidden_size=16, embed_size=8)
        .replace("train", batch_size=2, seq_length=16, max_steps=steps, device="cpu", precision="fp32")
        .replace("sample", length=20)
    )
    with redirect_stderr(io.StringIO()) as log:
        reporter = MonitoringReporter(steps)
        train(config, folder / "run", reporter=reporter)
    return reporter.samples, len(log.getvalue())


@click.command()
@click.option("--steps", type=click.IntRange(NUM_SAMPLES), default=20_000, show_default=True)
def main(steps: int) -> None:
    """Print the samples; exit with status 1 if memory or open files increased in the second half."""
    with tempfile.TemporaryDirectory() as folder:
        samples, log_bytes = soak(Path(folder), steps)
    for number, (memory_mib, num_files) in enumerate(samples, start=1):
        click.echo(f"step {number * steps // NUM_SAMPLES:,}: {memory_mib:.1f} MiB, {num_files} open files")
    click.echo(f"log: {log_bytes:,} bytes")
    middle = samples[len(samples) // 2]
    sys.exit(0 if samples[-1][0] <= middle[0] + 5 and samples[-1][1] <= middle[1] else 1)


if __name__ == "__main__":
    main()
