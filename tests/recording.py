"""What tests of training share: reporters that stop a run or record it, and comparisons that leave out times."""

import os
import signal
from pathlib import Path
from typing import Any

import torch

from charlm.comparison.results import Results
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.directory import RunDirectory
from charlm.runs.metrics import Row
from charlm.training.reporter import Reporter, RunDescription

TIMES = ("chars_per_s", "elapsed_s")


class Stopper(Reporter):
    """Sends this process a signal after a step, as a terminal or a job scheduler would."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        self.step = step
        self.number = number

    def advance(self, step: int, num_chars: int) -> None:
        """Send the signal when its step has come."""
        if step == self.step:
            os.kill(os.getpid(), self.number)


class Recorder(Reporter):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.steps: list[int] = []
        self.warnings: list[str] = []

    def start(self, run: RunDescription) -> None:
        """Keep it."""
        self.heard.append("start")

    def advance(self, step: int, num_chars: int) -> None:
        """Keep it."""
        self.steps.append(step)

    def warn(self, message: str) -> None:
        """Keep it."""
        self.warnings.append(message)

    def show_sample(self, step: int, text: str) -> None:
        """Keep it."""
        self.heard.append(f"sample {step}")

    def close(self) -> None:
        """Keep it."""
        self.heard.append("close")


def rows_without_times(directory: Path) -> list[Row]:
    """Return the metrics but for what a clock says."""
    rows = RunDirectory(directory).read_rows()
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def equal(first: Any, second: Any) -> bool:
    """Return whether nested plain values and tensors are equal to the bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def without_times(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the content of a checkpoint but for what a clock says."""
    content = dict(vars(checkpoint))
    training = {name: value for name, value in checkpoint.training.items() if name not in ("elapsed_s", "metrics")}
    if training:
        training["interval"] = training["interval"] | {"training_s": 0.0}
    return content | {"training": training}


def results_without_times(results: Results) -> dict[str, object]:
    """Return results as plain values without what no two runs have alike."""

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {key: strip(each) for key, each in value.items() if key not in ("elapsed_s", "chars_per_s")}
        return [strip(each) for each in value] if isinstance(value, list) else value

    stripped = strip(results.model_dump(mode="json"))
    assert isinstance(stripped, dict)
    return stripped
