"""Runs with ``train.patience``: they end early, exactly, whatever the moment at which they are stopped and resumed."""

import random
from pathlib import Path

import pytest
from recording import Recorder, Stopper, equal, rows_without_times, without_times

from charlm.config import Config
from charlm.errors import InputError, StoppedError
from charlm.inference.evaluation import Evaluation
from charlm.runs.checkpoint import load_checkpoint
from charlm.text.corpus import load_corpus
from charlm.training.loop import train
from charlm.training.schedule import Decay
from charlm.training.session import Session
from charlm.training.session_checkpoint import restore


@pytest.fixture
def overfitting(config: Config, corpus_path: Path) -> Config:
    """Return the configuration of a run that overfits from the start: its text is random."""
    letters = random.Random(1)  # noqa: S311
    corpus_path.write_text("".join(letters.choice("abcdefgh") for _ in range(1000)))
    return config.replace("model", dropout=0.0, hidden_size=32).replace(
        "train", patience=2, max_steps=60, eval_every=5, learning_rate=0.03, reset_probability=0.0, average_decay=0.0
    )


def find_end(directory: Path) -> tuple[int, int]:
    """Return the start and the end of the decay of a run."""
    decay = load_checkpoint(directory / "last.pt").training["decay"]
    return decay["start"], decay["end"]


def test_a_run_that_overfits_ends_early(overfitting: Config, tmp_path: Path) -> None:
    """When the patience has run out the learning rate falls from its peak to the floor, and the run is validated."""
    result = train(overfitting, tmp_path / "run")
    start, end = find_end(tmp_path / "run")
    assert result.early_stop_step == start == result.best_step + 2 * 5
    assert result.steps == end == start + round(start / 5) < 60
    validations = [row for row in rows_without_times(tmp_path / "run") if row["split"] == "val"]
    assert [row["step"] for row in validations] == [*range(5, end, 5), end]
    assert min(validations, key=lambda row: row["loss_nats"])["step"] == result.best_step
    assert load_checkpoint(tmp_path / "run" / "best.pt").step == result.best_step
    rates = {row["step"]: row["learning_rate"] for row in rows_without_times(tmp_path / "run")}
    assert {rate for step, rate in rates.items() if 5 <= step <= start} == {0.03}
    assert 0.03 * 0.05 < rates[end] < 0.5 * 0.03


@pytest.mark.parametrize("moment", ["before", "at", "in", "last"])
def test_resumes_exactly(overfitting: Config, tmp_path: Path, moment: str) -> None:
    """A run that is stopped before, at or in its cool-down, or after the last step, ends as the unbroken one."""
    train(overfitting, tmp_path / "unbroken")
    start, end = find_end(tmp_path / "unbroken")
    step = {"before": start - 3, "at": start, "in": start + 1, "last": end}[moment]
    if step < end:
        with pytest.raises(StoppedError, match=f"after step {step} of {60 if step < start else end}; "):
            train(overfitting, tmp_path / "broken", reporter=Stopper(step))
    else:
        train(overfitting, tmp_path / "broken", reporter=Stopper(step))
    result = train(overfitting, tmp_path / "broken", resume=True)
    assert (result.early_stop_step, result.steps) == (start, end)
    assert rows_without_times(tmp_path / "broken") == rows_without_times(tmp_path / "unbroken")
    first, second = (load_checkpoint(tmp_path / run / "last.pt") for run in ("broken", "unbroken"))
    assert equal(without_times(first), without_times(second))


def test_resuming_an_ended_run_returns_its_result(overfitting: Config, tmp_path: Path) -> None:
    """A run that ended early takes no further step and reports the same result."""
    first = train(overfitting, tmp_path / "run")
    recorder = Recorder()
    assert train(overfitting, tmp_path / "run", resume=True, reporter=recorder) == first
    assert recorder.steps == []


def test_an_ended_run_can_be_made_longer(overfitting: Config, tmp_path: Path) -> None:
    """With more steps a run that ended early continues at its last rate to the new end, which is final."""
    ended = train(overfitting, tmp_path / "run").steps
    result = train(overfitting.replace("train", max_steps=61), tmp_path / "run", resume=True)
    assert (result.steps, result.early_stop_step) == (61, None)
    assert find_end(tmp_path / "run") == (ended, 61)


def train_with_losses(
    config: Config, directory: Path, losses: list[float], monkeypatch: pytest.MonkeyPatch, resume: bool = False
) -> tuple[int, int | None]:
    """Train with prescribed validation losses, and return the number of steps and where the patience ran out."""
    values = iter(losses)
    monkeypatch.setattr("charlm.training.observer.evaluate", lambda model, ids: Evaluation(next(values), 1))
    result = train(config.replace("train", average_decay=0.0), directory, resume)
    return result.steps, result.early_stop_step


@pytest.mark.parametrize(
    ("patience", "losses", "expected"),
    [
        (1, [2.0, 2.0, 1.0], (12, 10)),  # an equal loss is no improvement; the cool-down is not ended by a lower one
        (2, [2.0, 3.0, 2.5, 1.0], (18, 15)),
        (2, [2.0, 3.0, 1.0, 1.5, 1.2, 1.1], (30, None)),  # a lower loss starts the count again; 25 is the latest start
        (3, [2.0, 3.0, 3.0, 3.0, 3.0, 3.0], (24, 20)),
        (0, [2.0, 3.0, 3.0, 3.0, 3.0, 3.0], (30, None)),
    ],
)
def test_consecutive_validations_are_counted(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
    losses: list[float],
    expected: tuple[int, int | None],
) -> None:
    """The run ends early after as many consecutive validations without a lower loss as the patience says."""
    config = config.replace("train", patience=patience, eval_every=5)
    assert train_with_losses(config, tmp_path / "run", losses, monkeypatch) == expected


def test_the_interval_of_validations_is_part_of_the_run(config: Config, tmp_path: Path) -> None:
    """With patience eval_every changes when the run ends, so that a resumed run must keep it; without it may change."""
    for patience, name in ((1, "patient"), (0, "other")):
        with pytest.raises(StoppedError):
            train(config.replace("train", patience=patience, eval_every=9), tmp_path / name, reporter=Stopper(4))
    with pytest.raises(InputError, match=r"train\.eval_every was 9 and is now 3"):
        train(config.replace("train", patience=1, eval_every=3), tmp_path / "patient", resume=True)
    assert train(config.replace("train", eval_every=3), tmp_path / "other", resume=True).steps == 30


def test_a_floor_of_zero(config: Config, tmp_path: Path) -> None:
    """A finished run whose rate has fallen to 0 can be made longer, stopped and resumed."""
    config = config.replace("train", learning_rate_floor_frac=0.0)
    train(config, tmp_path / "run")
    longer = config.replace("train", max_steps=40)
    with pytest.raises(StoppedError):
        train(longer, tmp_path / "run", resume=True, reporter=Stopper(35))
    recorder = Recorder()
    assert train(longer, tmp_path / "run", resume=True, reporter=recorder).steps == 40
    assert recorder.warnings == []


@pytest.mark.parametrize("extension", [None, {"step": 12, "learning_rate": 0.002}])
def test_training_state_of_an_older_version(config: Config, tmp_path: Path, extension: dict[str, float] | None) -> None:
    """A checkpoint that stores an extension instead of a decay resumes with the decay that it stands for."""
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Stopper(17))
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pt")
    planned = checkpoint.training.pop("decay")
    checkpoint.training["extension"] = extension
    session = Session(config, load_corpus(config.data.path, config.data.level))
    restore(session, checkpoint)
    assert session.decay == (Decay(12, 30, 0.002) if extension else Decay(**planned))
