"""What a person sees: TensorBoard's tags, plain lines in a log, a bar on a terminal."""

import os
import pty
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from charlm.config import Config
from charlm.monitor import Monitor
from charlm.run_directory import RunDirectory
from charlm.training import train

SCALARS = {"loss/train", "loss/val", "bits_per_char/val", "learning_rate", "grad_norm", "chars_per_s"}


def read_events(directory: Path) -> EventAccumulator:
    """Return all that TensorBoard reads in a run directory."""
    events = EventAccumulator(str(directory))
    events.Reload()
    return events


def test_tensorboard_has_every_tag(config: Config, tmp_path: Path) -> None:
    """The event file has the scalars, the samples and the hyperparameters, with the figures of metrics.jsonl."""
    train(config, tmp_path / "run", reporter=Monitor(tmp_path / "run"))
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

    class Dying(Monitor):
        def advance(self, step: int, num_chars: int) -> None:
            if step == 13:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", reporter=Dying(tmp_path / "run"))
    train(config, tmp_path / "run", resume=True, reporter=Monitor(tmp_path / "run"))
    steps = [point.step for point in read_events(tmp_path / "run").Scalars("loss/train")]
    assert steps == [4, 8, 12, 16, 20, 24, 28, 30]


def test_plain_lines_without_a_terminal(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets whole lines, one for every validation, and only now and then one for the training loss."""
    train(config, tmp_path / "run", reporter=Monitor(tmp_path / "run", "arm"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    lines = err.splitlines()
    assert all(line.startswith("arm: ") for line in lines)
    assert lines[0].startswith("arm: beginning: 2 x 12 LSTM, ")
    assert sum("val loss" in line for line in lines) == 3
    assert sum("train loss" in line for line in lines) == 1


def test_bar_on_a_terminal(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a bar with the step, both losses, the speed and the time that is left."""
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (24, 120))
    with os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        train(config, tmp_path / "run", reporter=Monitor(tmp_path / "run"))
    monkeypatch.undo()
    shown = drain(reading)
    assert "step 30/30 " in shown
    for part in ("100%", "char/s", "loss=", "val loss=", "<00:00"):
        assert part in shown


def drain(descriptor: int) -> str:
    """Return what was written to a terminal that is closed."""
    parts: list[Any] = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    os.close(descriptor)
    return b"".join(parts).decode()
