"""TensorBoard: the event file of a run directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from charlm.config import Config
from charlm.model import CharLM
from charlm.runs.directory import Row
from charlm.system.files import cannot_write
from charlm.training.reporter import Reporter

EVENT_FILE = "events.out.tfevents"
"""Prefix of the event file's name."""


class TensorBoardReporter(Reporter):
    """Writes losses, samples and hyperparameters to an event file.

    Args:
        directory: where the event file is created, the run directory.

    Raises:
        CharlmError: from any method, if the event file cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: SummaryWriter | None = None

    def start(self, config: Config, model: CharLM, precision: str, step: int) -> None:
        """Create the event file and write the hyperparameters."""
        values = {
            f"{section}.{key}": value for section, keys in config.model_dump().items() for key, value in keys.items()
        }
        with self._writing():
            self._writer = SummaryWriter(str(self._directory), purge_step=step + 1 if step else None)
            for summary in hparams(values, {"loss/val": 0.0}):  # type: ignore[no-untyped-call]
                self._writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]

    def log(self, row: Row) -> None:
        """Write the scalars of a row."""
        split, step = row["split"], row["step"]
        tags = {f"loss/{split}": "loss_nats"}
        if split == "val":
            tags["bits_per_char/val"] = "bits_per_char"
        else:
            tags |= {name: name for name in ("learning_rate", "grad_norm", "chars_per_s")}
        if self._writer is not None:
            with self._writing():
                for tag, name in tags.items():
                    self._writer.add_scalar(tag, row[name], step)
                if split == "val":
                    self._writer.flush()

    def show_sample(self, step: int, text: str) -> None:
        """Write a sample as preformatted text."""
        indented = "\n".join("    " + line for line in text.splitlines())
        if self._writer is not None:
            with self._writing():
                self._writer.add_text("sample", indented, step)
                self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            with self._writing():
                self._writer.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an OSError inside the context into a CharlmError that says what to do."""
        try:
            yield
        except OSError as error:
            raise cannot_write(self._directory / EVENT_FILE, error) from None
