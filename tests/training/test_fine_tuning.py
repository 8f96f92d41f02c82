"""Runs that begin with another model: validated before the first step, resumed exactly, repeated from config.yaml."""

import math
from pathlib import Path

import pytest
import torch
from recording import Recorder, Stopper, equal, rows_without_times, without_times

from charlm.config import Config, load_config
from charlm.errors import InputError, StoppedError
from charlm.inference.evaluation import evaluate
from charlm.inference.trained import load
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.reporter import Reporter, RunDescription


class Listener(Recorder):
    """Keeps also what a run takes over."""

    description: RunDescription

    def start(self, run: RunDescription) -> None:
        """Keep it."""
        self.description = run


def stop(config: Config, run: Path, step: int) -> None:
    """Train a run up to a step."""
    with pytest.raises(StoppedError):
        train(config, run, reporter=Stopper(step))


def test_the_base_is_validated_before_the_first_step(config: Config, tmp_path: Path) -> None:
    """A run on the text of its base has the loss of the base in its first row, to the bit."""
    train(config, tmp_path / "base")
    best = load_checkpoint(tmp_path / "base" / "best.pt")
    listener = Listener()
    train(config.replace("train", init_from=str(tmp_path / "base"), seed=2), tmp_path / "run", reporter=listener)
    first = RunDirectory(tmp_path / "run").read_rows()[0]
    assert (first["step"], first["split"], first["loss_nats"]) == (0, "val", best.loss_nats)
    assert listener.description.inheritance is not None
    assert listener.description.inheritance.settings == {"train.seed": (1, 2)}


def test_the_base_stays_the_best_if_no_step_lowers_the_loss(next_config: Config, tmp_path: Path) -> None:
    """The model of best.pt is the base where training only raises the loss."""
    config = next_config.replace("train", learning_rate=100.0, grad_clip=0.0, warmup_steps=0, max_steps=3, patience=0)
    assert train(config, tmp_path / "run").best_step == 0
    assert load_checkpoint(tmp_path / "run" / "best.pt").step == 0


def test_a_stopped_run_ends_as_the_unbroken_one(next_config: Config, tmp_path: Path) -> None:
    """A run that begins with another model resumes to the bit, also with an added layer, and without its base."""
    config = next_config.replace("model", num_layers=3)
    train(config, tmp_path / "unbroken")
    stop(config, tmp_path / "run", 5)
    recorder = Recorder()
    train(config, tmp_path / "run", resume=True, reporter=recorder)
    assert (recorder.steps[0], recorder.warnings) == (6, [])
    assert rows_without_times(tmp_path / "run") == rows_without_times(tmp_path / "unbroken")
    for name in ("last.pt", "best.pt"):
        first, second = (load_checkpoint(tmp_path / run / name) for run in ("run", "unbroken"))
        assert equal(without_times(first), without_times(second))


class DiesAtTheStart(Reporter):
    """Ends the process's work at the first sample, before anything is saved after it, or at the first step.

    Args:
        event: ``show_sample`` or ``advance``.
    """

    def __init__(self, event: str) -> None:
        setattr(self, event, self._die)

    def _die(self, step: int, _: object) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("event", "is_saved"), [("show_sample", False), ("advance", True)])
def test_a_run_that_dies_at_the_start(next_config: Config, tmp_path: Path, event: str, is_saved: bool) -> None:
    """A run that dies in the validation of its base, or right after it was saved, has one row of it in the end."""
    with pytest.raises(KeyboardInterrupt):
        train(next_config, tmp_path / "run", reporter=DiesAtTheStart(event))
    saved = load_checkpoint(tmp_path / "run" / "last.pt")
    assert (saved.step, math.isfinite(saved.training["best"][0])) == (0, is_saved)
    train(next_config, tmp_path / "run", resume=True)
    train(next_config, tmp_path / "unbroken")
    assert rows_without_times(tmp_path / "run") == rows_without_times(tmp_path / "unbroken")


def test_a_base_that_is_gone_is_not_needed(next_config: Config, base_path: Path, tmp_path: Path) -> None:
    """A run resumes without its base, and says so; a copy elsewhere will do without a word."""
    stop(next_config, tmp_path / "run", 5)
    copy = tmp_path / "moved.pt"
    base_path.rename(copy)
    recorder = Recorder()
    train(next_config.replace("train", max_steps=13), tmp_path / "run", resume=True, reporter=recorder)
    [warning] = recorder.warnings
    assert warning.startswith(f"train.init_from: {base_path}: there is no such checkpoint.")
    assert warning.endswith("The run resumes without its base, from its own save.")
    recorder = Recorder()
    train(next_config.replace("train", init_from=str(copy), max_steps=14), tmp_path / "run", True, recorder)
    assert recorder.warnings == []


def test_a_base_that_has_changed_is_refused(next_config: Config, base_path: Path, tmp_path: Path) -> None:
    """A run whose base is another model now does not resume, and nothing of it is touched, unless it names none."""
    stop(next_config, tmp_path / "run", 5)
    base = load_checkpoint(base_path)
    base.weights["output.bias"][0] += 1
    save_checkpoint(base, base_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match=r"has changed since the run began: its digest was .* and is now "):
        train(next_config, tmp_path / "run", resume=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before
    saved = load_checkpoint(tmp_path / "run" / "last.pt").config
    assert train(saved.replace("train", init_from=""), tmp_path / "run", resume=True).steps == 12


def test_a_base_that_is_damaged_is_refused(next_config: Config, base_path: Path, tmp_path: Path) -> None:
    """A base that is there but is no model any more has changed too; the message says how to resume without it."""
    stop(next_config, tmp_path / "run", 5)
    base_path.write_bytes(base_path.read_bytes()[:-9])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match=r"not a complete charlm checkpoint.* It was a model when .* --set train.init"):
        train(next_config, tmp_path / "run", resume=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before


def test_a_run_with_new_weights_takes_no_others(config: Config, base_path: Path, tmp_path: Path) -> None:
    """init_from is refused for the first time in a run that resumes."""
    stop(config, tmp_path / "run", 5)
    with pytest.raises(InputError, match=r"train\.init_from: the run began with new weights"):
        train(config.replace("train", init_from=str(base_path)), tmp_path / "run", resume=True)


def test_config_yaml_repeats_the_run(next_config: Config, base_path: Path, tmp_path: Path) -> None:
    """The configuration of a run has its sizes and the digest, and trains the same weights again."""
    train(next_config, tmp_path / "run")
    config = load_config(tmp_path / "run" / "config.yaml")
    assert config.model.hidden_size == 12
    assert len(config.train.init_digest) == 64
    train(config, tmp_path / "again")
    first, second = (load_checkpoint(tmp_path / run / "last.pt").weights for run in ("run", "again"))
    assert equal(first, second)


def test_the_run_reads_both_texts(next_config: Config, config: Config, tmp_path: Path) -> None:
    """With ``union`` the model knows the text of its base too, and its own splits are measured as in training."""
    result = train(next_config, tmp_path / "run")
    trained = load(tmp_path / "run")
    assert trained.evaluate_text(config.data.path).num_unknown == 0
    assert trained.evaluate_split("val").loss_nats == result.best_loss_nats
    assert "wall" in trained.sample(prompt="on the wall", length=5, seed=1)
    assert torch.isfinite(torch.tensor(evaluate(trained.model, trained.load_split("train")).loss_nats))


def test_text_forgets_what_the_text_lacks(next_config: Config, config: Config, tmp_path: Path) -> None:
    """With ``text`` the trained model knows its own text alone."""
    train(next_config.replace("data", vocabulary="text"), tmp_path / "run")
    assert load(tmp_path / "run").evaluate_text(config.data.path).num_unknown > 0
    stop(next_config.replace("data", vocabulary="text"), tmp_path / "stopped", 5)
    assert train(next_config.replace("data", vocabulary="text"), tmp_path / "stopped", resume=True).steps == 12
