"""TensorBoard: the event file of a run directory."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo, MetricInfo, MetricName, Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch.utils.tensorboard import SummaryWriter

from charlm.config import Config
from charlm.inference.reading import Reading, read_text
from charlm.inference.surprise import LEGEND, pair_lines
from charlm.model import CharLM
from charlm.runs.metrics import Row
from charlm.system.files import cannot_write
from charlm.training.event_files import PREFIX, find_event_files, rewind_events
from charlm.training.reporter import Reporter, RunDescription

LEADING_KEYS = ("model.num_layers", "model.hidden_size", "train.learning_rate", "model.dropout", "train.seed")
"""The first columns of the HParams table. It shows five of them before the metric; the others can be ticked."""

BEST_TAG = "loss/val_best"
"""Scalar with the lowest validation loss so far: TensorBoard's HParams table shows the last value of a scalar."""

NUM_BINS = 40
"""Bins of a histogram, evenly spaced. TensorBoard draws 30."""


class TensorBoardReporter(Reporter):
    """Writes losses, samples, histograms, hyperparameters and a description of the run to an event file.

    Args:
        directory: where the event file is created, the run directory.

    Raises:
        CharlmError: from any method, if the event file cannot be written.
    """

    _run: RunDescription
    _last_step: int
    _best_loss_nats: float

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: SummaryWriter | None = None

    def start(self, run: RunDescription) -> None:
        """Create an event file; the first one of a directory describes the run."""
        self._run, self._last_step = run, run.last_step
        self._best_loss_nats = run.best_loss_nats
        with self._writing():
            is_first = not find_event_files(self._directory)
            rewind_events(self._directory, run.step)
            # purge_step lets a TensorBoard that is open now forget the steps after the last checkpoint.
            self._writer = SummaryWriter(
                str(self._directory),
                purge_step=run.step + 1,
                filename_suffix=f".{secrets.token_hex(8)}",  # so that nobody can plant a link under this name
            )
            if is_first:
                for summary in (_describe_experiment(run.config), _describe_session(run.config)):
                    self._add_summary(self._writer, summary)
                self._writer.add_custom_scalars(_lay_out_charts(run.config.data.level))
                self._writer.add_text("run", _describe_run(run), 0)
                self._writer.flush()

    def begin_cool_down(self, step: int, last_step: int) -> None:
        """Note the end of the run."""
        self._last_step = last_step

    def log(self, row: Row) -> None:
        """Write the scalars of a row."""
        split, step = row["split"], row["step"]
        scalars = {f"loss/{split}": row["loss_nats"], f"bits_per_char/{split}": row["bits_per_char"]}
        if split == "val":
            self._best_loss_nats = min(self._best_loss_nats, row["loss_nats"])
            scalars[BEST_TAG] = self._best_loss_nats
            if "trained_loss_nats" in row:
                scalars["loss/val_not_averaged"] = row["trained_loss_nats"]
        else:
            scalars |= {name: row[name] for name in ("learning_rate", "grad_norm", "chars_per_s")}
        if self._writer is None:
            return
        with self._writing():
            for tag, value in scalars.items():
                self._writer.add_scalar(tag, value, step)
            if split == "val" and step == self._last_step:
                self._add_summary(self._writer, _describe_end())
            if split == "val":
                self._writer.flush()

    def show_model(self, step: int, model: CharLM) -> None:
        """Write histograms of the weights and of each layer's values on the passage, and the passage's surprise."""
        if self._writer is None:
            return
        reading = read_text(model, self._run.vocabulary, self._run.passage)
        values: dict[str, Any] = {f"weights/{name}": weight.detach() for name, weight in model.named_parameters()}
        for name in ("i", "f", "o", "g", "c"):
            for depth, layer in enumerate(reading.activations[name], start=1):
                values[f"gates/layer_{depth}/{name}"] = layer
        with self._writing():
            self._writer.add_text("surprise", _describe_surprise(reading, self._run.config.data.level), step)
            for tag, tensor in values.items():
                self._writer.add_histogram(tag, tensor, step, bins=NUM_BINS)

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

    @staticmethod
    def _add_summary(writer: SummaryWriter, summary: Summary) -> None:
        writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an OSError inside the context into a CharlmError that says what to do."""
        try:
            yield
        except OSError as error:
            raise cannot_write(self._directory / PREFIX, error) from None


def _lay_out_charts(level: str) -> dict[str, dict[str, list[object]]]:
    """Return the charts of the Custom Scalars tab, each with the regular expressions of its tags."""
    return {
        "training and validation": {
            "loss, nats": ["Multiline", ["loss/train$", "loss/val$"]],
            f"bits per {level}": ["Multiline", ["bits_per_char/train$", "bits_per_char/val$"]],
        }
    }


def _describe_run(run: RunDescription) -> str:
    """Return what is trained, the number of parameters and the baselines, as Markdown."""
    lines = [f"{run.precision} on {run.device}, kernel {run.kernel}"]
    lines += ["", "Parameters of each part:", "", "| part | parameters |", "| :-- | --: |"]
    lines += [f"| {part} | {count:,} |" for part, count in run.num_parameters.items()]
    lines += ["", "Simple predictors on the validation part:"]
    lines += ["", f"| predictor | bits per {run.config.data.level} |", "| :-- | --: |"]
    lines += [f"| {name} | {bits:.4f} |" for name, bits in run.baselines_bits.items()]
    return "\n".join(lines)


def _describe_surprise(reading: Reading, level: str) -> str:
    """Return the lines of the passage, below each one digit for every character, as Markdown."""
    lines = [f"    {line}\n    {digits}" for line, digits in pair_lines(reading, level)]
    return "\n".join([f"{reading.bits_per_char:.3f} bits. {LEGEND}", "", *lines])


def _hyperparameters(config: Config) -> dict[str, tuple[str, bool | float | str]]:
    """Return the displayed name and the value of each key by the name that sorts it.

    TensorBoard sorts the columns by name, so the names of the leading keys begin with a number.
    """
    values = {f"{section}.{key}": value for section, keys in config.model_dump().items() for key, value in keys.items()}
    leading = {f"{place} {key}": (key.split(".")[1], values.pop(key)) for place, key in enumerate(LEADING_KEYS)}
    return leading | {key: (key, value) for key, value in values.items()}


def _describe_experiment(config: Config) -> Summary:
    """Return the columns of the HParams table."""
    types = {bool: "DATA_TYPE_BOOL", int: "DATA_TYPE_FLOAT64", float: "DATA_TYPE_FLOAT64", str: "DATA_TYPE_STRING"}
    columns = [
        HParamInfo(name=name, display_name=display_name, type=types[type(value)])
        for name, (display_name, value) in _hyperparameters(config).items()
    ]
    metric = MetricInfo(name=MetricName(tag=BEST_TAG), display_name="best validation loss")
    experiment = Experiment(hparam_infos=columns, metric_infos=[metric])
    return _hparams_summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


def _describe_session(config: Config) -> Summary:
    """Return the row of a run in the HParams table."""
    session = SessionStartInfo()
    for name, (_, value) in _hyperparameters(config).items():
        if isinstance(value, str):
            session.hparams[name].string_value = value
        elif isinstance(value, bool):
            session.hparams[name].bool_value = value
        else:
            session.hparams[name].number_value = value
    return _hparams_summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=session))


def _describe_end() -> Summary:
    """Return the mark of a finished run in the HParams table."""
    end = SessionEndInfo(status=Status.Value("STATUS_SUCCESS"))
    return _hparams_summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _hparams_summary(tag: str, data: HParamsPluginData) -> Summary:
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    return Summary(value=[value])
