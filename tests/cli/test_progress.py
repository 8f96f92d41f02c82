"""The progress in a terminal: a bar on a terminal, plain lines elsewhere."""

import os
import pty
import sys
import termios
from pathlib import Path

import pytest
from terminal import drain

from charlm.cli.progress import ProgressReporter
from charlm.config import Config
from charlm.inference.evaluation import Evaluation
from charlm.training.loop import train


def test_plain_lines_without_a_terminal(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets whole lines, one for every validation, and only now and then one for the training loss."""
    train(config, tmp_path / "run", reporter=ProgressReporter("arm"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    lines = err.splitlines()
    assert all(line.startswith("arm: ") for line in lines)
    assert lines[0].startswith("arm: starting: 2 x 12 LSTM, ")
    assert sum("val loss" in line for line in lines) == 3
    assert sum("train loss" in line for line in lines) == 1


@pytest.mark.parametrize(("patience", "last_step"), [(0, 30), (1, 12)])
def test_bar_on_a_terminal(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, last_step: int
) -> None:
    """A terminal gets a bar with the step, both losses, the speed and the time that is left, also for an early stop."""
    monkeypatch.setattr("charlm.training.observer.evaluate", lambda model, ids: Evaluation(1.0, 1))
    config = config.replace("train", patience=patience, eval_every=5)
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (24, 120))
    with os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        train(config, tmp_path / "run", reporter=ProgressReporter())
    monkeypatch.undo()
    shown = drain(reading)
    assert f"step {last_step}/{last_step} " in shown
    for part in ("100%", "char/s", "loss=", "val loss=", "<00:00"):
        assert part in shown
