#!/usr/bin/env python3
"""Write the checkpoints that tests/runs/test_formats.py loads for ever, once for each checkpoint format.

A directory tests/runs/checkpoints/format-N/NAME/ holds a run that was stopped on its way (config.yaml, best.pt,
last.pt), its text, and expected.json: the model's validation loss, a sample, and the losses of the same run unstopped.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import click

import charlm
from charlm.config import Config
from charlm.errors import StoppedError
from charlm.runs.description import FORMAT
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.reporter import Reporter

CHECKPOINTS = Path(__file__).resolve().parents[1] / "tests" / "runs" / "checkpoints"

TEXT = "".join(f"{n} grüne Flaschen hängen an der Wand; fällt eine herab, sind es {n - 1}.\n" for n in range(20, 0, -1))
"""Longer in bytes than in characters."""

STOP_STEP = 85

COMMON = Config().replace("data", path="text.txt").replace("sample", length=20)
COMMON = COMMON.replace(
    "train", batch_size=4, seq_length=16, max_steps=120, warmup_steps=5, learning_rate=0.04, log_every=10,
    eval_every=40, reset_probability=0.0, device="cpu", precision="fp32", kernel="reference",
)  # fmt: skip

RUNS = {
    "char": COMMON.replace("model", num_layers=2, hidden_size=8, embed_size=4, dropout=0.2),
    "averaged": COMMON.replace("model", num_layers=1, hidden_size=4, embed_size=2, dropout=0.2).replace(
        "train", average_decay=0.9, reset_probability=0.1
    ),
    "byte": COMMON.replace("data", level="byte").replace("model", num_layers=1, hidden_size=4, embed_size=2),
}
"""The runs that are kept, by the name of their directory; the one without dropout does not depend on random draws."""


class Stopper(Reporter):
    """Stops the run after ``STOP_STEP`` as a job scheduler would."""

    def advance(self, step: int, num_chars: int) -> None:
        """Send the signal."""
        if step == STOP_STEP:
            signal.raise_signal(signal.SIGTERM)


def write_run(config: Config, directory: Path) -> None:
    """Train twice in the working directory, once stopped on the way, and keep that run with what it has to become."""
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    train(config, Path("unbroken"))
    with contextlib.suppress(StoppedError):
        train(config, Path("stopped"), reporter=Stopper())
    model = charlm.load("stopped", "cpu")
    rows = RunDirectory(Path("unbroken")).read_rows()
    expected = {
        "step": model.checkpoint.step,
        "val_loss_nats": model.checkpoint.loss_nats,
        "greedy_sample": model.sample(prompt="20 ", length=40, temperature=0),
        "losses_nats": {f"{row['split']} {row['step']}": row["loss_nats"] for row in rows if row["step"] > STOP_STEP},
    }
    directory.mkdir(parents=True)
    for name in ("text.txt", "stopped/config.yaml", "stopped/best.pt", "stopped/last.pt"):
        shutil.copy(name, directory)
    (directory / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


@click.command(
    help=f"Write the runs that tests/runs/checkpoints/format-{FORMAT}/ lacks; what is there is never replaced."
)
def main() -> None:
    """Write the checkpoints of the present format."""
    for name, config in RUNS.items():
        directory = CHECKPOINTS / f"format-{FORMAT}" / name
        if directory.exists():
            click.echo(f"{directory} exists and is left as it is: it has to load for ever.")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            write_run(config, directory)
            os.chdir(CHECKPOINTS)


if __name__ == "__main__":
    main()
