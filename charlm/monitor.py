"""What a person sees of a run: a progress bar or plain lines on stderr, and TensorBoard."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from charlm.atomic import cannot_write
from charlm.config import Config
from charlm.model import CharLM
from charlm.reporter import Reporter
from charlm.run_directory import Row

tqdm.set_lock(threading.RLock())  # its own lock is one of processes, which none here needs and a killed one leaks

LINE_INTERVAL_S = 10.0
"""Least time between two plain lines of training loss, so that the log of a long run stays short."""

EVENT_FILE = "events.out.tfevents"
"""How the name of TensorBoard's file begins."""


class Monitor(Reporter):
    """Shows a run on stderr and writes it to TensorBoard.

    Args:
        directory: where TensorBoard's event file goes, the run directory.
        name: what to call the run on stderr, where several are shown; empty for one alone.
    """

    _bar: "tqdm[NoReturn]"
    _writer: SummaryWriter

    def __init__(self, directory: Path, name: str = "") -> None:
        self._directory = directory
        self._prefix = f"{name}: " if name else ""
        self._is_terminal = sys.stderr.isatty()
        self._shown: dict[str, str] = {}
        self._max_steps = 0
        self._line_shown_at_s = -LINE_INTERVAL_S

    def read(self, activity: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Show how much of a corpus is read, where it takes longer than a moment."""
        name = f"{self._prefix}{activity}"
        is_hidden = not self._is_terminal
        with tqdm(desc=name, unit="B", unit_scale=True, delay=1, leave=False, disable=is_hidden) as bar:
            for chunk in chunks:
                yield chunk
                bar.update(len(chunk))

    def start(self, config: Config, model: CharLM, precision: str, step: int) -> None:
        """Say what is trained, open the bar and the event file."""
        settings = config.train
        self._max_steps = settings.max_steps
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        begun = f"going on after step {step:,}" if step else "beginning"
        self._say(
            f"{begun}: {config.model.num_layers} x {config.model.hidden_size} LSTM, {num_parameters:,} parameters, "
            f"{precision} on {model.output.weight.device}, kernel {model.lstm.kernel.name} ({model.lstm.kernel.note})"
        )
        chars_per_step = settings.batch_size * settings.seq_length
        self._bar = tqdm(
            total=settings.max_steps * chars_per_step,
            initial=step * chars_per_step,
            unit="char",
            unit_scale=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {rate_fmt}{postfix}",
            disable=not self._is_terminal,
        )
        with self._recording():
            self._writer = SummaryWriter(str(self._directory), purge_step=step + 1 if step else None)
            values = {
                f"{section}.{key}": value
                for section, keys in config.model_dump().items()
                for key, value in keys.items()
            }
            for summary in hparams(values, {"loss/val": 0.0}):  # type: ignore[no-untyped-call]
                self._writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]

    def advance(self, step: int, num_chars: int) -> None:
        """Move the bar."""
        self._bar.set_description_str(f"{self._prefix}step {step}/{self._max_steps} ", refresh=False)
        self._bar.update(num_chars)

    def log(self, row: Row) -> None:
        """Show a line of metrics and put it into TensorBoard."""
        split, step = row["split"], row["step"]
        self._shown["loss" if split == "train" else "val loss"] = f"{row['loss_nats']:.4f}"
        self._bar.set_postfix(self._shown, refresh=False)
        if not self._is_terminal:
            self._print_line(row)
        tags = {f"loss/{split}": "loss_nats"}
        if split == "val":
            tags["bits_per_char/val"] = "bits_per_char"
        else:
            tags |= {name: name for name in ("learning_rate", "grad_norm", "chars_per_s")}
        with self._recording():
            for tag, name in tags.items():
                self._writer.add_scalar(tag, row[name], step)
            if split == "val":
                self._writer.flush()

    def show_sample(self, step: int, text: str) -> None:
        """Put a sample into TensorBoard, as preformatted text."""
        indented = "\n".join("    " + line for line in text.splitlines())
        with self._recording():
            self._writer.add_text("sample", indented, step)
            self._writer.flush()

    def warn(self, message: str) -> None:
        """Say it above the bar."""
        self._say(f"warning: {message}")

    def close(self) -> None:
        """Close the bar and the event file."""
        self._bar.close()
        try:
            self._writer.close()
        except OSError as error:  # what is raised here would hide why the run ended
            self.warn(str(cannot_write(self._directory / EVENT_FILE, error)))

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Within the context, turn a failure of the event file into an error that says what to do.

        Raises:
            CharlmError: the event file cannot be written.
        """
        try:
            yield
        except OSError as error:
            raise cannot_write(self._directory / EVENT_FILE, error) from None

    def _print_line(self, row: Row) -> None:
        now_s = time.monotonic()
        if row["split"] == "val" or now_s - self._line_shown_at_s >= LINE_INTERVAL_S:
            self._line_shown_at_s = now_s
            left_s = row["elapsed_s"] / row["step"] * (self._max_steps - row["step"])
            self._say(
                f"step {row['step']}/{self._max_steps}  {row['split']} loss {row['loss_nats']:.4f}  "
                f"{row['chars_per_s']:,.0f} characters/s  {left_s:.0f} s left"
            )

    def _say(self, line: str) -> None:
        tqdm.write(self._prefix + line, file=sys.stderr)
