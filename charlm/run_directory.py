"""The files of one run, under the names that other tools rely on.

runs/NAME/  config.yaml  best.pt  last.pt  metrics.jsonl  samples/  events.out.tfevents.*
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, write_atomically
from charlm.errors import CharlmError, InputError

Row = dict[str, Any]
"""One line of metrics.jsonl: ``step``, ``split``, ``loss_nats``, ``bits_per_char``, and more by split."""


@dataclass(frozen=True)
class RunDirectory:
    """Where a run writes.

    Attributes:
        path: the directory; it need not exist yet.
    """

    path: Path

    @property
    def config_path(self) -> Path:
        """The configuration that the run trains with."""
        return self.path / "config.yaml"

    @property
    def best_path(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.path / "best.pt"

    @property
    def last_path(self) -> Path:
        """The checkpoint that the run goes on from."""
        return self.path / "last.pt"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line for every loss that was logged."""
        return self.path / "metrics.jsonl"

    def refuse_old_run(self) -> None:
        """Make sure that no run was begun here.

        Raises:
            InputError: one was.
        """
        if any(path.exists() for path in (self.config_path, self.best_path, self.last_path, self.metrics_path)):
            raise InputError(
                f"{self.path}: this directory already holds a run. "
                "Go on with it by --resume, or give another directory with --out."
            )

    def begin(self, config_yaml: str, step: int) -> None:
        """Make ready for the steps after a given one; metrics of later steps are forgotten, for they come again.

        Raises:
            InputError: the path is no directory that can be written to.
        """
        try:
            (self.path / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be made a run directory: {error.strerror}.") from None
        write_atomically(self.config_path, config_yaml.encode())
        kept = [row for row in self.read_rows() if row["step"] <= step]
        write_atomically(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Save what the run goes on from."""
        save_checkpoint(checkpoint, self.last_path)

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Save the best model so far."""
        save_checkpoint(checkpoint, self.best_path)

    def load_last(self) -> Checkpoint | None:
        """Return what the run goes on from, or None where it saved nothing yet."""
        return load_checkpoint(self.last_path) if self.last_path.exists() else None

    def save_sample(self, step: int, text: str) -> None:
        """Keep the sample of a step as a text file."""
        write_atomically(self.path / "samples" / f"step-{step:07d}.txt", text.encode())

    def append_row(self, row: Row) -> None:
        """Add a line of metrics.

        Raises:
            CharlmError: it cannot be written.
        """
        try:
            with self.metrics_path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        except OSError as error:
            raise CharlmError(f"{self.metrics_path}: cannot be written: {error.strerror}.") from None

    def read_rows(self) -> list[Row]:
        """Return every line of metrics that is whole."""
        if not self.metrics_path.exists():
            return []
        rows = []
        for line in self.metrics_path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:  # the process died while it wrote this line
                break
        return rows
