"""Training: learning, logging, stopping and exact resumption; observers do not change the result."""

import contextlib
import dataclasses
import itertools
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Recorder, Stopper, equal, rows_without_times, without_times
from texts import TEXT

from charlm.cli.progress import make_reporter
from charlm.config import Config
from charlm.errors import CharlmError, InputError, StoppedError
from charlm.inference.evaluation import Evaluation, evaluate
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.text.corpus import load_corpus
from charlm.text.streams import split_ids
from charlm.training.loop import train
from charlm.training.optimization import train_step
from charlm.training.reporter import Reporter

MEAN_LOSS = "charlm.model.CharLM.mean_loss"


def test_memorises_one_line(tmp_path: Path) -> None:
    """A model trained on one repeated line reproduces it in a greedy sample."""
    import charlm

    (tmp_path / "line.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    config = Config.model_validate(
        {
            "data": {"path": str(tmp_path / "line.txt")},
            "model": {"num_layers": 1, "hidden_size": 48, "embed_size": 16},
            "train": {"batch_size": 8, "seq_length": 32, "max_steps": 120, "warmup_steps": 5, "learning_rate": 0.02},
        }
    )
    result = train(config, tmp_path / "run")
    assert result.best_loss_nats < 0.1
    text = charlm.load(tmp_path / "run").sample(prompt="the quick ", length=80, temperature=0)
    assert text == ("the quick brown fox jumps over the lazy dog. " * 3)[:90]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_every_depth_learns(config: Config, tmp_path: Path, num_layers: int) -> None:
    """One, two and three layers start near the entropy of single symbols and fall."""
    config = config.replace("model", num_layers=num_layers).replace("train", log_every=1, learning_rate=0.02)
    train(config, tmp_path / "run")
    losses = [row["loss_nats"] for row in rows_without_times(tmp_path / "run") if row["split"] == "train"]
    shares = load_corpus(config.data.path, "char").counts.double()
    shares /= shares.sum()
    assert losses[0] == pytest.approx(-(shares * shares.log()).sum().item(), abs=0.2)
    assert losses[-1] < losses[0] - 0.3


def test_metrics_and_files(config: Config, tmp_path: Path) -> None:
    """The run directory has every file, and each step that is due has its row."""
    result = train(config, tmp_path / "run")
    rows = RunDirectory(tmp_path / "run").read_rows()
    assert [row["step"] for row in rows if row["split"] == "train"] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert [row["step"] for row in rows if row["split"] == "val"] == [10, 20, 30]
    assert all(row["bits_per_char"] == pytest.approx(row["loss_nats"] / math.log(2)) for row in rows)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.yaml", "best.pt", "last.pt", "last-1.pt", "metrics.jsonl", "samples", ".lock", ".lock.pid",
    }  # fmt: skip
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 3
    assert result.num_chars == 30 * 4 * 16
    assert result.best_loss_nats == min(row["loss_nats"] for row in rows if row["split"] == "val")


def test_best_checkpoint_has_the_loss_it_claims(config: Config, tmp_path: Path) -> None:
    """The best checkpoint, loaded anew, has exactly the validation loss that was logged."""
    result = train(config, tmp_path / "run")
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    splits = split_ids(load_corpus(config.data.path, "char").ids, config.data.val_frac, config.data.test_frac)
    measured = evaluate(best.build_model(torch.device("cpu")), splits.val)
    assert measured.loss_nats == best.loss_nats == result.best_loss_nats
    assert best.step == result.best_step


@pytest.mark.parametrize(
    ("stop_step", "kernel"), [*((step, "auto") for step in (1, 7, 10, 13, 29)), (13, "torch"), (13, "reference")]
)
def test_stopped_and_resumed_equals_unbroken(config: Config, tmp_path: Path, stop_step: int, kernel: str) -> None:
    """A run that is stopped and resumed ends with exactly the same weights, optimizer, metrics and samples."""
    config = config.replace("train", kernel=kernel)
    train(config, tmp_path / "unbroken")
    with pytest.raises(StoppedError, match=f"after step {stop_step} of 30.*--resume") as caught:
        train(config, tmp_path / "broken", reporter=Stopper(stop_step))
    assert caught.value.exit_status == 128 + signal.SIGTERM
    torch.rand(5)  # what happens between does not matter
    train(config, tmp_path / "broken", resume=True)
    assert rows_without_times(tmp_path / "broken") == rows_without_times(tmp_path / "unbroken")
    for name in ("last.pt", "best.pt"):
        first, second = (load_checkpoint(tmp_path / run / name) for run in ("broken", "unbroken"))
        assert equal(without_times(first), without_times(second))
    samples = [sorted((tmp_path / run / "samples").iterdir()) for run in ("broken", "unbroken")]
    assert [path.read_bytes() for path in samples[0]] == [path.read_bytes() for path in samples[1]]


def test_a_run_that_is_ending_is_waited_for(config: Config, tmp_path: Path) -> None:
    """A run that got a signal says in its lock that it is ending; a resumed run waits for it, and says so."""

    class Ending(Stopper):
        holder = ""

        def close(self) -> None:
            self.holder = (tmp_path / ".lock.pid").read_text()

    ending = Ending(5)
    with pytest.raises(StoppedError):
        train(config, tmp_path, reporter=ending)
    assert ending.holder == f"{os.getpid()} ending\n"

    class Waiting(Recorder):
        def warn(self, message: str) -> None:
            super().warn(message)
            lock.close()

    waiting = Waiting()
    with contextlib.ExitStack() as lock:
        lock.enter_context(RunDirectory(tmp_path).locked())
        RunDirectory(tmp_path).mark_ending()
        train(config, tmp_path, resume=True, reporter=waiting)
    assert waiting.warnings == [f"{tmp_path}: process {os.getpid()} is saving its state and ending; waiting for it."]


def test_training_has_a_random_generator_of_its_own(config: Config, tmp_path: Path) -> None:
    """A run neither uses nor changes torch's default generator."""

    class Noise(Reporter):
        def advance(self, step: int, num_chars: int) -> None:
            torch.rand(step)

    train(config, tmp_path / "alone")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(config, tmp_path / "quiet")
    assert torch.equal(torch.get_rng_state(), before)
    train(config, tmp_path / "noisy", reporter=Noise())
    first, *others = (load_checkpoint(tmp_path / run / "last.pt") for run in ("alone", "quiet", "noisy"))
    assert all(equal(without_times(first), without_times(other)) for other in others)


def test_resuming_takes_the_trained_weights_not_the_shown_ones(config: Config, tmp_path: Path) -> None:
    """Where a checkpoint shows other weights than it trains, a resumed run continues with the trained ones."""
    config = config.replace("train", average_decay=0.0)
    train(config, tmp_path / "unbroken")
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", reporter=Stopper(13))
    saved = load_checkpoint(tmp_path / "run" / "last.pt")
    shown = {name: torch.zeros_like(weight) for name, weight in saved.weights.items()}
    save_checkpoint(dataclasses.replace(saved, weights=shown), tmp_path / "run" / "last.pt")
    train(config, tmp_path / "run", resume=True)
    first, second = (load_checkpoint(tmp_path / run / "last.pt") for run in ("run", "unbroken"))
    assert equal(without_times(first), without_times(second))


def test_state_is_carried_and_reset_at_each_pass(
    config: Config, tmp_path: Path, corpus_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step begins with the state that the one before left, and a pass over the text begins with zeros."""
    corpus_path.write_text(TEXT[:300])  # 240 characters train: 3 steps of 4 x 16 a pass
    seen: list[Any] = []

    def spy(model: Any, optimizer: Any, batch: Any, states: Any, *settings: Any) -> Any:
        result = train_step(model, optimizer, batch, states, *settings)
        seen.append((states, result.states))
        return result

    monkeypatch.setattr("charlm.training.session.train_step", spy)
    train(config.replace("train", max_steps=7, warmup_steps=1, reset_probability=0.0), tmp_path / "run")
    for step, (before, _) in enumerate(seen):
        if step % 3 == 0:
            assert not any(tensor.any() for state in before for tensor in state)
        else:
            assert equal(before, seen[step - 1][1])


def test_killed_between_checkpoints(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed resumes from its last checkpoint, and each step is logged once."""

    class Killer(Reporter):
        def advance(self, step: int, num_chars: int) -> None:
            if step == 13:  # after the checkpoint of step 7, and rows of steps 8 to 12
                raise KeyboardInterrupt

    train(config, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", reporter=Killer())
    train(config, tmp_path / "broken", resume=True)
    assert rows_without_times(tmp_path / "broken") == rows_without_times(tmp_path / "unbroken")
    first, second = (load_checkpoint(tmp_path / run / "last.pt") for run in ("broken", "unbroken"))
    assert equal(without_times(first), without_times(second))


def test_resuming_nothing_begins(config: Config, tmp_path: Path) -> None:
    """--resume begins a run where there is none."""
    assert train(config, tmp_path / "run", resume=True).steps == 30


def test_resuming_a_finished_run_returns_its_result(config: Config, tmp_path: Path) -> None:
    """A finished run takes no further step and reports the same result."""
    first = train(config, tmp_path / "run")
    recorder = Recorder()
    assert train(config, tmp_path / "run", resume=True, reporter=recorder) == first
    assert recorder.steps == []


def test_time_includes_every_validation(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The duration of a run includes its validations, the last one too, also when it is resumed."""
    now_s = 0.0

    class SlowReporter(Reporter):
        """Lets 100 s pass in every validation."""

        def show_sample(self, step: int, text: str) -> None:
            """Set the clock."""
            nonlocal now_s
            now_s += 100

    ticks_s = itertools.count(step=1e-6)  # speeds divide by a time
    monkeypatch.setattr(time, "monotonic", lambda: now_s + next(ticks_s))
    assert 300 <= train(config, tmp_path / "run", reporter=SlowReporter()).elapsed_s < 301
    assert 300 <= train(config, tmp_path / "run", resume=True).elapsed_s < 301


def test_watching_changes_nothing(config: Config, tmp_path: Path) -> None:
    """Frequent logs, validations, samples, TensorBoard and a progress bar leave the weights as they are, to the bit."""
    train(config.replace("train", log_every=30, eval_every=30, checkpoint_every=30), tmp_path / "alone")
    busy = config.replace("train", log_every=1, eval_every=1, checkpoint_every=1).replace("sample", temperature=1.5)
    train(busy, tmp_path / "watched", reporter=make_reporter(tmp_path / "watched"))
    alone, watched = (load_checkpoint(tmp_path / run / "last.pt") for run in ("alone", "watched"))
    assert equal(alone.weights, watched.weights)
    assert equal(alone.training["random"], watched.training["random"])


@pytest.mark.parametrize(
    ("section", "key", "value"), [("train", "learning_rate", 0.5), ("model", "hidden_size", 13), ("train", "seed", 9)]
)
def test_resuming_with_another_configuration_is_refused(
    config: Config, tmp_path: Path, section: str, key: str, value: Any
) -> None:
    """A key that would change the trajectory is named with both values, and nothing is written."""
    train(config, tmp_path / "run")
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=rf"{section}\.{key} was .* and is now {value}"):
        train(config.replace(section, **{key: value}), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("stop_step", [13, 30])
def test_a_run_can_be_made_longer(config: Config, tmp_path: Path, stop_step: int) -> None:
    """A stopped or finished run can be extended, and a further stop on the way does not change the result."""
    longer = config.replace("train", max_steps=50)
    for name in ("unbroken", "broken"):
        with contextlib.suppress(StoppedError):
            train(config, tmp_path / name, reporter=Stopper(stop_step))
    result = train(longer, tmp_path / "unbroken", resume=True)
    assert result.steps == 50
    with pytest.raises(StoppedError):
        train(longer, tmp_path / "broken", resume=True, reporter=Stopper(37))
    train(longer, tmp_path / "broken", resume=True)
    first, second = (load_checkpoint(tmp_path / run / "last.pt") for run in ("broken", "unbroken"))
    assert equal(without_times(first), without_times(second))
    assert "max_steps: 50" in (tmp_path / "broken" / "config.yaml").read_text()
    rates = [row["learning_rate"] for row in rows_without_times(tmp_path / "unbroken") if row["split"] == "train"]
    assert rates[-1] == pytest.approx(config.train.learning_rate * config.train.learning_rate_floor_frac, rel=0.05)
    assert first.training["decay"]["start"] == stop_step


def test_a_run_cannot_be_made_shorter(config: Config, tmp_path: Path) -> None:
    """A smaller number of steps than the run was planned with is refused."""
    train(config, tmp_path / "run")
    with pytest.raises(InputError, match=r"train\.max_steps was 30 and is now 20"):
        train(config.replace("train", max_steps=20), tmp_path / "run", resume=True)


def test_resuming_with_another_text_is_refused(config: Config, tmp_path: Path, corpus_path: Path) -> None:
    """A run cannot be resumed with an edited text."""
    train(config, tmp_path / "run")
    corpus_path.write_text(corpus_path.read_text().replace("green", "brown"))
    with pytest.raises(InputError, match="differs from the one that the run started with"):
        train(config, tmp_path / "run", resume=True)


def test_second_run_into_a_directory_is_refused(config: Config, tmp_path: Path) -> None:
    """A directory that holds a run is refused, and the message names --resume."""
    train(config, tmp_path / "run")
    with pytest.raises(InputError, match="--resume"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize(("section", "key", "value"), [("train", "batch_size", 4000), ("train", "device", "cuda:99")])
def test_what_cannot_run_writes_nothing(config: Config, tmp_path: Path, section: str, key: str, value: Any) -> None:
    """A text that is too short, or a device that is not there, is refused before anything is written."""
    with pytest.raises(InputError):
        train(config.replace(section, **{key: value}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_loss_that_is_no_number_ends_the_run(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After several consecutive skipped steps the run fails with advice, and the last good checkpoint is kept."""
    train(config.replace("train", max_steps=30), tmp_path / "good")
    before = (tmp_path / "good" / "last.pt").read_bytes()
    monkeypatch.setattr(MEAN_LOSS, lambda model, logits, targets: logits.sum() * math.nan)
    recorder = Recorder()
    with pytest.raises(
        CharlmError, match=r"not finite in 5 steps in a row, up to step 5.*Lower train\.learning_rate"
    ) as caught:
        train(config, tmp_path / "bad", reporter=recorder)
    assert caught.value.exit_status == 1
    assert load_checkpoint(tmp_path / "bad" / "last.pt").step == 0
    assert (tmp_path / "good" / "last.pt").read_bytes() == before
    assert len(recorder.warnings) == 4
    assert recorder.heard[-1] == "close"


def test_one_bad_step_is_skipped(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single step without a finite gradient is skipped with a warning, and training continues from the zero state."""
    seen: list[Any] = []

    def sometimes_nan(model: Any, optimizer: Any, batch: Any, states: Any, *settings: Any) -> Any:
        seen.append(states)
        if len(seen) == 4:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(MEAN_LOSS, lambda model, logits, targets: logits.sum() * math.nan)
                return train_step(model, optimizer, batch, states, *settings)
        return train_step(model, optimizer, batch, states, *settings)

    monkeypatch.setattr("charlm.training.session.train_step", sometimes_nan)
    recorder = Recorder()
    assert math.isfinite(train(config, tmp_path / "run", reporter=recorder).last_loss_nats)
    assert recorder.steps[-1] == 30
    assert recorder.warnings == ["step 4 was skipped: its gradient is not finite."]
    assert not any(tensor.any() for state in seen[4] for tensor in state)


def test_best_is_kept_when_the_loss_rises(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best checkpoint is that of the lowest validation loss, not the latest."""
    losses = iter([2.0, 1.0, 3.0])
    monkeypatch.setattr("charlm.training.observer.evaluate", lambda model, ids: Evaluation(next(losses), 1))
    result = train(config.replace("train", average_decay=0.0), tmp_path / "run")
    assert (result.best_loss_nats, result.best_step, result.last_loss_nats) == (1.0, 20, 3.0)
    best = load_checkpoint(tmp_path / "run" / "best.pt")
    assert (best.step, best.loss_nats) == (20, 1.0)
