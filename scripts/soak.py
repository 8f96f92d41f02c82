#!/usr/bin/env python3
"""Train a tiny model for many steps and watch this process: its memory, its open files, and the log it writes."""

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
NUM_LOOKS = 20


def look() -> tuple[float, int]:
    """Return the resident set in MiB and the number of open files of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20, len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # counts itself too


class Watcher(ProgressReporter):
    """A reporter that looks at its process now and then.

    Attributes:
        looks: resident set in MiB and open files, at equal distances.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.looks: list[tuple[float, int]] = []
        self._every = max(1, steps // NUM_LOOKS)

    def advance(self, step: int, num_chars: int) -> None:
        """Look, when it is time."""
        super().advance(step, num_chars)
        if step % self._every == 0:
            self.looks.append(look())


def soak(folder: Path, steps: int) -> tuple[list[tuple[float, int]], int]:
    """Train so many steps; return what was seen on the way, and the bytes of the log on stderr."""
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    config = (
        Config()
        .replace("data", path=str(folder / "text.txt"))
        .replace("model", num_layers=1, hidden_size=16, embed_size=8)
        .replace("train", batch_size=2, seq_length=16, max_steps=steps, device="cpu", precision="fp32")
        .replace("sample", length=20)
    )
    with redirect_stderr(io.StringIO()) as log:
        watcher = Watcher(steps)
        train(config, folder / "run", reporter=watcher)
    return watcher.looks, len(log.getvalue())


@click.command()
@click.option("--steps", type=click.IntRange(NUM_LOOKS), default=20_000, show_default=True)
def main(steps: int) -> None:
    """Print what was seen; exit status 1 if memory or open files grew."""
    with tempfile.TemporaryDirectory() as folder:
        looks, log_bytes = soak(Path(folder), steps)
    for number, (memory_mib, num_files) in enumerate(looks, start=1):
        click.echo(f"step {number * steps // NUM_LOOKS:,}: {memory_mib:.1f} MiB, {num_files} open files")
    click.echo(f"log: {log_bytes:,} bytes")
    half = looks[len(looks) // 2]
    sys.exit(0 if looks[-1][0] <= half[0] + 5 and looks[-1][1] <= half[1] else 1)


if __name__ == "__main__":
    main()
