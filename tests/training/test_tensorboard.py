"""TensorBoard: the tags and values of the event file."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from charlm.config import Config
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.tensorboard import TensorBoardReporter

SCALARS = {"loss/train", "loss/val", "bits_per_char/val", "learning_rate", "grad_norm", "chars_per_s"}


def read_events(directory: Path) -> EventAccumulator:
    """Return all that TensorBoard reads in a run directory."""
    events = EventAccumulator(str(directory))
    events.Reload()
    return events


def test_tensorboard_has_every_tag(config: Config, tmp_path: Path) -> None:
    """The event file has the scalars, the samples and the hyperparameters, with the figures of metrics.jsonl."""
    train(config, tmp_path / "run", reporter=TensorBoardReporter(tmp_path / "run"))
    events = read_events(tmp_path / "run")
    assert set(events.Tags()["scalars"]) == SCALARS
    rows = [row for row in RunDirectory(tmp_path / "run").read_rows() if row["split"] == "val"]
    points = [(point.step, point.value) for point in events.Scalars("loss/val")]
    assert points == [(row["step"], pytest.approx(row["loss_nats"])) for row in rows]
    samples = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("sample/text_summary")]
    last = (tmp_path / "run" / "samples" / "step-0000030.txt").read_text()
    assert samples[-1] == "\n".join("    " + line for line in last.splitlines())
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_steps_taken_again_stand_once(config: Config, tmp_path: Path) -> None:
    """After a run went on from an earlier checkpoint, TensorBoard shows every step once."""

    class Dying(TensorBoardReporter):
        def advance(self, step: int, num_chars: int) -> None:
            if step == 13:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", reporter=Dying(tmp_path / "run"))
    train(config, tmp_path / "run", resume=True, reporter=TensorBoardReporter(tmp_path / "run"))
    steps = [point.step for point in read_events(tmp_path / "run").Scalars("loss/train")]
    assert steps == [4, 8, 12, 16, 20, 24, 28, 30]
