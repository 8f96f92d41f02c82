"""The files of a run, with names that other tools rely on.

runs/NAME/  config.yaml  best.pt  last.pt  metrics.jsonl  samples/  events.out.tfevents.*

Further files: last-1.pt and so on are the saves before last.pt, damaged.pt is a damaged save that was renamed, .lock
is the lock against a second process, and .lock.pid contains the ID of the latest training process.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.errors import InputError
from charlm.runs.checkpoint import Checkpoint, save_checkpoint
from charlm.runs.recovery import load_first_sound
from charlm.system.files import cannot_write, write_atomically
from charlm.system.lock import hold, refuse_holder

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
        """The checkpoint from which the run resumes."""
        return self.path / "last.pt"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line for every loss that was logged."""
        return self.path / "metrics.jsonl"

    @property
    def has_run(self) -> bool:
        """Whether the directory contains a run."""
        files = (self.config_path, self.best_path, self.last_path, self.metrics_path, *self._former_paths())
        return any(path.exists() for path in files)

    def refuse_old_run(self) -> None:
        """Raise an error if the directory contains a run.

        Raises:
            InputError: the directory contains a run.
        """
        if self.has_run:
            raise InputError(
                f"{self.path}: this directory already holds a run. "
                "Resume it with --resume, or give another directory with --out."
            )

    def refuse_second_writer(self) -> None:
        """Raise an error if another process is training in the directory; nothing is written.

        Raises:
            InputError: another process is training in the directory.
        """
        refuse_holder(self._lock_path)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Create the directory and hold its lock within the context.

        Yields:
            Whether the lock is held; False on a file system that does not support locks.

        Raises:
            InputError: another process is training in the directory, or the directory cannot be created or written.
        """
        with contextlib.ExitStack() as stack:
            try:
                (self.path / "samples").mkdir(parents=True, exist_ok=True)
                is_held = stack.enter_context(hold(self._lock_path))
            except OSError as error:
                raise InputError(f"{self.path}: cannot be made a run directory: {error.strerror}.") from None
            yield is_held

    @property
    def _lock_path(self) -> Path:
        return self.path / ".lock"

    def begin(self, config_yaml: str, step: int) -> None:
        """Prepare the directory for training after a given step; metrics of later steps are deleted.

        Raises:
            CharlmError: the files cannot be written.
        """
        for scrap in self.path.rglob(".*.unfinished"):
            with contextlib.suppress(OSError):
                scrap.unlink()
        write_atomically(self.config_path, config_yaml.encode())
        kept = [row for row in self.read_rows() if row["step"] <= step]
        write_atomically(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept).encode())

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Save the checkpoint to resume from; ``train.keep`` saves are kept in all."""
        keep = checkpoint.config.train.keep
        save_checkpoint(checkpoint, self.last_path, [self.path / f"last-{n}.pt" for n in range(1, keep)])
        for path in self._former_paths()[keep - 1 :]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _former_paths(self) -> list[Path]:
        """Return the saves before the last, the newest first."""
        numbers = [path.stem.removeprefix("last-") for path in self.path.glob("last-*.pt")]
        return [self.path / f"last-{n}.pt" for n in sorted(int(n) for n in numbers if n.isascii() and n.isdigit())]

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Save the best model so far."""
        save_checkpoint(checkpoint, self.best_path)

    def load_newest(self, restore: Callable[[Checkpoint], None]) -> tuple[Checkpoint | None, dict[Path, str]]:
        """Restore the newest undamaged save.

        Args:
            restore: restores a checkpoint; raises DamagedError if its training state is damaged.

        Returns:
            The checkpoint, or None if there is no save; and a dictionary with the error of each newer, damaged save.

        Raises:
            InputError: all saves are damaged; or ``restore`` raised it.
        """
        return load_first_sound([self.last_path, *self._former_paths()], restore)

    def load_best(self) -> tuple[Checkpoint, dict[Path, str]]:
        """Return the best model, or if it is damaged the newest undamaged save.

        Returns:
            The checkpoint; and a dictionary with the error of each damaged file that was skipped.

        Raises:
            InputError: there is no checkpoint, or all are damaged.
        """
        checkpoint, damaged = load_first_sound([self.best_path, self.last_path, *self._former_paths()])
        if checkpoint is None:
            below = sorted(str(path.parent) for path in self.path.glob("*/best.pt"))[:3]
            remedy = (
                f"Give a run in it, such as {' or '.join(below)}" if below else f"Train into it with --out {self.path}"
            )
            raise InputError(f"{self.path}: this directory holds no checkpoint (best.pt or last.pt). {remedy}.")
        return checkpoint, damaged

    def set_aside(self, path: Path) -> None:
        """Rename a damaged save to ``damaged.pt``, which replaces an earlier one.

        Raises:
            CharlmError: it cannot be renamed.
        """
        try:
            path.replace(self.path / "damaged.pt")
        except OSError as error:
            raise cannot_write(path, error) from None

    def save_sample(self, step: int, text: str) -> None:
        """Write the sample of a step to a text file."""
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
            raise cannot_write(self.metrics_path, error) from None

    def read_rows(self) -> list[Row]:
        """Return the lines of metrics up to the first incomplete or damaged one."""
        if not self.metrics_path.exists():
            return []
        rows: list[Row] = []
        for line in self.metrics_path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):  # the process died while it wrote this line, or it is damaged
                break
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                break
            rows.append(row)
        return rows
