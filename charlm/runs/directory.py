"""The files of one run, under the names that other tools rely on.

runs/NAME/  config.yaml  best.pt  last.pt  metrics.jsonl  samples/  events.out.tfevents.*

Beside them, last-1.pt and so on are the saves before last.pt, damaged.pt is one that was set aside, .lock keeps a
second process away, and .lock.pid has the number of the process that trains, or trained last.
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
        """The checkpoint that the run goes on from."""
        return self.path / "last.pt"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line for every loss that was logged."""
        return self.path / "metrics.jsonl"

    @property
    def has_run(self) -> bool:
        """Whether a run was begun here."""
        files = (self.config_path, self.best_path, self.last_path, self.metrics_path, *self._former_paths())
        return any(path.exists() for path in files)

    def refuse_old_run(self) -> None:
        """Make sure that no run was begun here.

        Raises:
            InputError: one was.
        """
        if self.has_run:
            raise InputError(
                f"{self.path}: this directory already holds a run. "
                "Go on with it by --resume, or give another directory with --out."
            )

    def refuse_second_writer(self) -> None:
        """Make sure that no other process trains into the directory now; nothing is written.

        Raises:
            InputError: one does.
        """
        refuse_holder(self._lock_path)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Make the directory, and keep other processes from writing to it within the context.

        Yields:
            Whether they are kept away: False where the system has no locks.

        Raises:
            InputError: another process trains here, or the path is no directory that can be written to.
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
        """Make ready for the steps after a given one; metrics of later steps are forgotten, for they come again.

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
        """Save what the run goes on from, and keep as many saves before it as the configuration says."""
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
        """Go on from the newest save that one can go on from.

        Args:
            restore: goes on from a checkpoint; raises DamagedError where its training state is damaged.

        Returns:
            The checkpoint, or None where nothing was saved yet; and of each damaged newer one what is wrong with it.

        Raises:
            InputError: there are saves, and none is sound; or ``restore`` raised it.
        """
        return load_first_sound([self.last_path, *self._former_paths()], restore)

    def load_best(self) -> tuple[Checkpoint, dict[Path, str]]:
        """Return the best model, or where it is damaged the newest sound save.

        Returns:
            The checkpoint; and of each file that was passed over what is wrong with it.

        Raises:
            InputError: there is no checkpoint, or none is sound.
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
        """Move a damaged save out of the way of the sound ones; only one such file is kept.

        Raises:
            CharlmError: it cannot be moved.
        """
        try:
            path.replace(self.path / "damaged.pt")
        except OSError as error:
            raise cannot_write(path, error) from None

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
            raise cannot_write(self.metrics_path, error) from None

    def read_rows(self) -> list[Row]:
        """Return every line of metrics up to the first that is not whole."""
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
