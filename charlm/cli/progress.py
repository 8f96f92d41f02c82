"""The progress of a run in a terminal: a bar, or plain lines where stderr is a pipe or a file."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from charlm.cli.inheritance_table import format_inheritance
from charlm.cli.output import escape_controls
from charlm.runs.metrics import Row
from charlm.training.reporter import Reporter, Reporters, RunDescription

tqdm.set_lock(threading.RLock())  # its default is a lock between processes, which a killed process leaks

LINE_INTERVAL_S = 10.0
"""Minimum time between two plain lines of training loss, so that the log of a long run stays short."""


def make_reporter(directory: Path, name: str = "") -> Reporter:
    """Return the reporter of a run that is started from the command line: its progress, and TensorBoard.

    Args:
        directory: the run directory.
        name: prefix of every line on stderr; empty for a single run.
    """
    from charlm.training.tensorboard import TensorBoardReporter  # takes a second to import

    return Reporters([ProgressReporter(name), TensorBoardReporter(directory)])


class ProgressReporter(Reporter):
    """Shows the progress of a run on stderr.

    Args:
        name: prefix of every line; empty for a single run.
    """

    _bar: "tqdm[NoReturn] | None" = None

    def __init__(self, name: str = "") -> None:
        self._prefix = escape_controls(f"{name}: ") if name else ""
        self._is_terminal = sys.stderr.isatty()
        self._shown: dict[str, str] = {}
        self._last_step = self._chars_per_step = 0
        self._line_shown_at_s = -LINE_INTERVAL_S

    def read(self, activity: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Show how much of a corpus has been read, if it takes more than a second."""
        name = escape_controls(f"{self._prefix}{activity}")
        is_hidden = not self._is_terminal
        with tqdm(desc=name, unit="B", unit_scale=True, delay=1, leave=False, disable=is_hidden) as bar:
            for chunk in chunks:
                yield chunk
                bar.update(len(chunk))

    def start(self, run: RunDescription) -> None:
        """Print what is trained and what it takes over from its base, and open the bar."""
        if run.inheritance:
            self._print(format_inheritance(run.inheritance))
        model, settings = run.config.model, run.config.train
        self._last_step, self._chars_per_step = run.last_step, settings.batch_size * settings.seq_length
        begun = f"resuming after step {run.step:,}" if run.step else "starting"
        if run.step >= run.last_step:
            begun = f"finished at step {run.step:,}"
        self._print(
            f"{begun}: {model.num_layers} x {model.hidden_size} LSTM, {run.num_parameters['whole']:,} parameters, "
            f"{run.precision} on {run.device}, kernel {run.kernel}"
        )
        self._bar = tqdm(
            total=run.last_step * self._chars_per_step,
            initial=run.step * self._chars_per_step,
            unit="char",
            unit_scale=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {rate_fmt}{postfix}",
            disable=not self._is_terminal,
        )

    def advance(self, step: int, num_chars: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_description_str(f"{self._prefix}step {step}/{self._last_step} ", refresh=False)
            self._bar.update(num_chars)

    def begin_cool_down(self, step: int, last_step: int) -> None:
        """Say when the run ends, and shorten the bar."""
        self._last_step = last_step
        if self._bar is not None:
            self._bar.total = last_step * self._chars_per_step
        self._print(
            f"step {step}: the validation loss has stopped falling; the learning rate falls until the run ends at "
            f"step {last_step}"
        )

    def log(self, row: Row) -> None:
        """Show the losses next to the bar, or as a line."""
        self._shown["loss" if row["split"] == "train" else "val loss"] = f"{row['loss_nats']:.4f}"
        if self._bar is not None:
            self._bar.set_postfix(self._shown, refresh=False)
        if not self._is_terminal:
            self._print_row(row)

    def warn(self, message: str) -> None:
        """Print a warning above the bar."""
        self._print(f"warning: {message}")

    def close(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _print_row(self, row: Row) -> None:
        now_s = time.monotonic()
        if row["split"] == "val" or now_s - self._line_shown_at_s >= LINE_INTERVAL_S:
            self._line_shown_at_s = now_s
            left = ""
            if row["step"] > 0:  # a run that begins with the model of another is validated before its first step
                left = f"  {row['elapsed_s'] / row['step'] * (self._last_step - row['step']):.0f} s left"
            trained = f" (not averaged {row['trained_loss_nats']:.4f})" if "trained_loss_nats" in row else ""
            self._print(
                f"step {row['step']}/{self._last_step}  {row['split']} loss {row['loss_nats']:.4f}{trained}  "
                f"{row['chars_per_s']:,.0f} characters/s{left}"
            )

    def _print(self, line: str) -> None:
        tqdm.write(escape_controls(self._prefix + line), file=sys.stderr)
