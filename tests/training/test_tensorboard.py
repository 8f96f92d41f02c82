"""TensorBoard: the tags and values of the event file."""

import contextlib
import re
import time
from pathlib import Path

import pytest
from recording import Stopper
from tensorboard.backend.event_processing.event_accumulator import HISTOGRAMS, EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import backend_context, metadata
from tensorboard.plugins.hparams.api_pb2 import Experiment, Status

from charlm.config import Config
from charlm.errors import StoppedError
from charlm.inference.evaluation import Evaluation
from charlm.inference.trained import load
from charlm.runs.directory import RunDirectory
from charlm.training.loop import PASSAGE_LENGTH, train
from charlm.training.reporter import Reporters
from charlm.training.tensorboard import TensorBoardReporter

SCALARS = {"loss/train", "loss/val", "loss/val_best", "bits_per_char/train", "bits_per_char/val"}
SCALARS |= {"loss/val_not_averaged", "learning_rate", "grad_norm", "chars_per_s"}


def read_events(directory: Path) -> EventAccumulator:
    """Return all that TensorBoard reads in a run directory."""
    events = EventAccumulator(str(directory), size_guidance={HISTOGRAMS: 0})  # 0: all of them
    events.Reload()
    return events


@pytest.fixture
def events(config: Config, tmp_path: Path) -> EventAccumulator:
    """Train, and return what TensorBoard reads."""
    train(config, tmp_path / "run", reporter=TensorBoardReporter(tmp_path / "run"))
    return read_events(tmp_path / "run")


def read_texts(events: EventAccumulator, tag: str) -> list[str]:
    """Return the texts of a tag."""
    return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(f"{tag}/text_summary")]


def read_experiment(events: EventAccumulator) -> Experiment:
    """Return the description of the HParams table."""
    content = events.summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    return metadata.parse_experiment_plugin_data(content)


def test_scalars_and_samples_are_those_of_the_run(events: EventAccumulator, tmp_path: Path) -> None:
    """The event file has every scalar with the figures of metrics.jsonl, and the samples."""
    assert set(events.Tags()["scalars"]) == SCALARS
    rows = [row for row in RunDirectory(tmp_path / "run").read_rows() if row["split"] == "val"]
    points = [(point.step, point.value) for point in events.Scalars("loss/val")]
    assert points == [(row["step"], pytest.approx(row["loss_nats"])) for row in rows]
    points = [(point.step, point.value) for point in events.Scalars("loss/val_not_averaged")]
    assert points == [(row["step"], pytest.approx(row["trained_loss_nats"])) for row in rows]
    last = (tmp_path / "run" / "samples" / "step-0000030.txt").read_text()
    assert read_texts(events, "sample")[-1] == "\n".join("    " + line for line in last.splitlines())


def test_hparams_begin_with_width_depth_and_rate(events: EventAccumulator, config: Config) -> None:
    """In the order in which TensorBoard shows the columns, the architecture comes first, and the row has every key."""
    experiment = read_experiment(events)
    backend_context._sort_and_reduce_to_hparams_limit(experiment)
    columns = [info.display_name for info in experiment.hparam_infos]
    assert columns[:5] == ["num_layers", "hidden_size", "learning_rate", "dropout", "seed"]
    assert len(columns) == sum(len(keys) for keys in config.model_dump().values())
    start = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(start).hparams
    row = {info.display_name: values[info.name] for info in experiment.hparam_infos}
    assert row["num_layers"].number_value == 2
    assert row["hidden_size"].number_value == 12
    assert row["learning_rate"].number_value == 6e-3
    assert row["data.path"].string_value == config.data.path


def test_hparams_metric_is_the_best_validation_loss(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one metric of the table is the lowest loss so far, across a stop and a rise of the loss."""
    config = config.replace("train", average_decay=0.0)  # one evaluation each time
    losses = iter([2.0, 1.0, 3.0])
    monkeypatch.setattr("charlm.training.observer.evaluate", lambda *_: Evaluation(next(losses), 100))
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Reporters([Stopper(21), TensorBoardReporter(tmp_path / "run")]))
    train(config, tmp_path / "run", resume=True, reporter=TensorBoardReporter(tmp_path / "run"))
    events = read_events(tmp_path / "run")
    [metric] = read_experiment(events).metric_infos
    assert [point.value for point in events.Scalars(metric.name.tag)] == [2.0, 1.0, 1.0]


def test_only_a_finished_run_is_a_success(events: EventAccumulator, config: Config, tmp_path: Path) -> None:
    """The HParams table says of a finished run that it is one, and not of one that was stopped."""
    end = metadata.parse_session_end_info_plugin_data(
        events.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
    )
    assert end.status == Status.Value("STATUS_SUCCESS")
    with pytest.raises(StoppedError):
        train(config, tmp_path / "part", reporter=Reporters([Stopper(21), TensorBoardReporter(tmp_path / "part")]))
    assert metadata.SESSION_END_INFO_TAG not in read_events(tmp_path / "part").summary_metadata


@pytest.mark.parametrize("stop_step", [0, 11])
def test_a_run_that_ends_early_is_a_success(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_step: int
) -> None:
    """The HParams table says that a run which stopped early is finished, also if it was resumed in its cool-down."""
    monkeypatch.setattr("charlm.training.observer.evaluate", lambda *_: Evaluation(1.0, 100))
    config = config.replace("train", patience=1, eval_every=5)
    reporters = Reporters([Stopper(stop_step), TensorBoardReporter(tmp_path / "run")])
    with contextlib.suppress(StoppedError):
        train(config, tmp_path / "run", reporter=reporters)
    train(config, tmp_path / "run", resume=True, reporter=TensorBoardReporter(tmp_path / "run"))
    assert metadata.SESSION_END_INFO_TAG in read_events(tmp_path / "run").summary_metadata


def test_training_and_validation_share_a_chart(events: EventAccumulator) -> None:
    """The custom scalars are two charts, and the patterns of each find the two tags that are meant, no other."""
    [layout] = events.Tensors("custom_scalars__config__")
    [category] = Layout.FromString(layout.tensor_proto.string_val[0]).category
    found = [[tag for tag in SCALARS for one in chart.multiline.tag if re.match(one, tag)] for chart in category.chart]
    assert [sorted(tags) for tags in found] == [
        ["loss/train", "loss/val"],
        ["bits_per_char/train", "bits_per_char/val"],
    ]


def test_text_describes_the_run(config: Config, tmp_path: Path) -> None:
    """The text has the number of parameters of each part and the baselines, those of the result."""
    result = train(config, tmp_path / "run", reporter=TensorBoardReporter(tmp_path / "run"))
    [text] = read_texts(read_events(tmp_path / "run"), "run")
    assert "| layer 2 | 1,200 |" in text  # 4 * 12 * (12 + 12 + 1)
    assert text.count("\n| ") == 5 + 2 + 6 + 2  # the rows and the two heads
    assert all(f"| {name} | {bits:.4f} |" in text for name, bits in result.baselines_bits.items())


def test_histograms_of_weights_and_gates(events: EventAccumulator) -> None:
    """Every validation has a histogram of each weight and of each layer's gates, candidates and cell state."""
    gates = {f"gates/layer_{depth}/{name}" for depth in (1, 2) for name in "ifogc"}
    weights = {f"weights/lstm.cells.{depth}.{name}" for depth in (0, 1) for name in ("weight_ih", "weight_hh", "bias")}
    weights |= {f"weights/{name}" for name in ("embedding.weight", "output.weight", "output.bias")}
    assert set(events.Tags()["histograms"]) == gates | weights
    for tag in gates | weights:
        assert [event.step for event in events.Histograms(tag)] == [10, 20, 30]
    bias = events.Histograms("weights/lstm.cells.1.bias")[0].histogram_value
    assert bias.num == 48
    assert -1.3 < bias.min < -0.8  # the forget gate's, near its initial value
    for name, low in (("i", 0), ("f", 0), ("o", 0), ("g", -1)):
        histogram = events.Histograms(f"gates/layer_1/{name}")[-1].histogram_value
        assert low < histogram.min < histogram.max < 1
        assert histogram.num == 256 * 12


def test_surprise_of_the_same_passage_at_each_validation(events: EventAccumulator, tmp_path: Path) -> None:
    """Each validation has the passage with a digit below each character: the bits that it cost the model."""
    texts = read_texts(events, "surprise")
    assert [event.step for event in events.Tensors("surprise/text_summary")] == [10, 20, 30]
    trained = load(tmp_path / "run", "cpu")  # the best model, of one of the validations
    text = dict(zip([10, 20, 30], texts, strict=True))[trained.checkpoint.step]
    passage = trained.vocabulary.decode(trained.load_split("val")[:PASSAGE_LENGTH])
    bits = trained.inspect(passage).surprise_bits
    rows = [line[4:] for line in text.split("\n")[2:]]
    assert "".join(rows[::2]).replace("↵", "\n") == passage
    assert "".join(rows[1::2]) == " " + "".join(str(min(9, round(float(each)))) for each in bits[1:])
    assert text.startswith(f"{bits[1:].mean():.3f} bits")


@pytest.mark.parametrize("offset_s", [0, -5000], ids=["steady clock", "clock set back"])
@pytest.mark.parametrize("killed_steps", [(11,), (13,), (11, 25, 29)])
def test_repeated_steps_are_shown_once(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_steps: tuple[int, ...], offset_s: float
) -> None:
    """After kills before and after the first checkpoint, TensorBoard shows every step once, also of texts."""
    config = config.replace("train", checkpoint_every=12)

    class Dying(TensorBoardReporter):
        def advance(self, step: int, num_chars: int) -> None:
            if step == killed_step:
                raise KeyboardInterrupt

    for killed_step in killed_steps:  # noqa: B007  # used by Dying
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", resume=True, reporter=Dying(tmp_path / "run"))
        now_s = time.time() + offset_s
        monkeypatch.setattr(time, "time", lambda now_s=now_s: now_s)
    train(config, tmp_path / "run", resume=True, reporter=TensorBoardReporter(tmp_path / "run"))
    events = read_events(tmp_path / "run")
    assert [point.step for point in events.Scalars("loss/train")] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert [point.step for point in events.Tensors("sample/text_summary")] == [10, 20, 30]
    assert [point.step for point in events.Histograms("weights/output.bias")] == [10, 20, 30]
    assert len(read_texts(events, "run")) == 1
    assert len(events.Tensors("custom_scalars__config__")) == 1


def test_event_file_name_cannot_be_guessed(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of an event file has a random part, so that nobody can plant a link under it."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "unguessable")
    train(config, tmp_path, reporter=TensorBoardReporter(tmp_path))
    (path,) = tmp_path.glob("events.out.tfevents.*")
    assert path.name.endswith(".unguessable")
