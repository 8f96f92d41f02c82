"""The files of a run, with names that other tools rely on.

runs/NAME/  config.yaml  best.pt  last.pt  metrics.jsonl  samples/  events.out.tfevents.*

Further files: last-1.pt and so on are the saves before last.pt, a damaged file is renamed to NAME.damaged, .lock is the
lock against a second process, and .lock.pid contains the ID of the latest training process.

The saves hold all that a run needs to resume, its configuration among it. The first one, of step 0, is the first file
that a run writes: a directory with other files of a run but no save has lost something.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from charlm.errors import InputError
from charlm.runs.metrics import Row, append_row, read_rows, take_fingerprint
from charlm.system.files import make_directory, write_atomically
from charlm.system.lock import Announce, hold, is_held, mark_ending, refuse_holder

if TYPE_CHECKING:  # a look at a run does without torch, which this would load
    from charlm.runs.checkpoint import Checkpoint


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
        files = (self.config_path, self.best_path, self.metrics_path, *self.save_paths)
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

    def refuse_remains(self) -> None:
        """Raise an error if the directory contains a run without a save; a new run would overwrite what is left of it.

        Raises:
            InputError: the directory contains files of a run, but no save.
        """
        found = [path.name for path in (self.best_path, self.config_path, self.metrics_path) if path.exists()]
        if found and not any(path.exists() for path in self.save_paths):
            raise InputError(
                f"{self.path}: cannot resume: this directory holds {' and '.join(found)} of a run, but no last.pt to "
                "resume from, and a new run would overwrite them. Restore last.pt, or start a new run with another "
                "--out."
            )

    def refuse_second_writer(self, announce: Announce = lambda _: None) -> None:
        """Raise an error if another process is training in the directory; nothing is written.

        Args:
            announce: called with one line before waiting for a process that is saving and ending.

        Raises:
            InputError: another process is training in the directory.
        """
        refuse_holder(self._lock_path, announce)

    @property
    def is_running(self) -> bool:
        """Whether another process is training in the directory."""
        return is_held(self._lock_path)

    @contextmanager
    def locked(self, announce: Announce = lambda _: None) -> Iterator[bool]:
        """Create the directory and hold its lock within the context.

        Args:
            announce: called with one line before waiting for a process that is saving and ending.

        Yields:
            Whether the lock is held; False on a file system that does not support locks.

        Raises:
            InputError: another process is training in the directory, or the directory cannot be created or written.
        """
        with contextlib.ExitStack() as stack:
            try:
                make_directory(self.path / "samples")
                is_held = stack.enter_context(hold(self._lock_path, announce))
            except OSError as error:
                raise InputError(f"{self.path}: cannot be made a run directory: {error.strerror}.") from None
            yield is_held

    def mark_ending(self) -> None:
        """Let other processes wait for the lock, which this process holds: it is about to save and to end."""
        mark_ending(self._lock_path)

    @property
    def _lock_path(self) -> Path:
        return self.path / ".lock"

    def remove_leftovers(self) -> None:
        """Delete the temporary files of a process that died while it wrote."""
        for leftover in self.path.rglob(".*.unfinished"):
            with contextlib.suppress(OSError):
                leftover.unlink()

    def write_config(self, config_yaml: str) -> None:
        """Write ``config.yaml``, which users and other tools read; charlm itself takes that of the checkpoint.

        Raises:
            CharlmError: it cannot be written.
        """
        write_atomically(self.config_path, config_yaml.encode())

    def save_last(self, checkpoint: "Checkpoint") -> None:
        """Save the checkpoint to resume from; ``train.keep`` saves are kept in all.

        It records what metrics.jsonl is at this step.

        Raises:
            CharlmError: a file cannot be written; the earlier saves are unchanged.
        """
        from charlm.runs.checkpoint import save_checkpoint

        keep = checkpoint.config.train.keep
        training = checkpoint.training | {"metrics": take_fingerprint(self.metrics_path)}
        checkpoint = replace(checkpoint, training=training)
        save_checkpoint(checkpoint, self.last_path, [self.path / f"last-{n}.pt" for n in range(1, keep)])
        for path in self.save_paths[keep:]:
            with contextlib.suppress(OSError):
                path.unlink()

    @property
    def save_paths(self) -> list[Path]:
        """The paths of last.pt, whether or not it exists, and of the saves before it, the newest first."""
        numbers = [path.stem.removeprefix("last-") for path in self.path.glob("last-*.pt")]
        former = sorted(int(number) for number in numbers if number.isascii() and number.isdigit())
        return [self.last_path, *(self.path / f"last-{number}.pt" for number in former)]

    def save_best(self, checkpoint: "Checkpoint") -> None:
        """Save the best model so far."""
        from charlm.runs.checkpoint import save_checkpoint

        save_checkpoint(checkpoint, self.best_path)

    def save_sample(self, step: int, text: str) -> None:
        """Write the sample of a step to a text file."""
        write_atomically(self.path / "samples" / f"step-{step:07d}.txt", text.encode())

    def append_row(self, row: Row) -> None:
        """Add a line of metrics.

        Raises:
            CharlmError: it cannot be written.
        """
        append_row(self.metrics_path, row)

    def read_rows(self) -> list[Row]:
        """Return the rows of all undamaged lines of metrics.

        Raises:
            InputError: the file cannot be read.
        """
        return read_rows(self.metrics_path)
