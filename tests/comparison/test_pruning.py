"""Trials that report their validations, and end early when they are hopeless."""

from pathlib import Path

import pytest
from outcomes import make_outcome
from recording import Stopper

from charlm.comparison.journal import open_study
from charlm.comparison.outcome import Outcome
from charlm.comparison.pruning import FILE_NAME, NUM_FULL_TRIALS, EarlyEnd, Place, read_end, train_trial
from charlm.comparison.study import ArmStudy
from charlm.config import Config
from charlm.errors import StoppedError
from charlm.inference import evaluation
from charlm.training.reporter import Reporter


@pytest.fixture
def quick(config: Config) -> Config:
    """Return a configuration with validations after steps 2, 4, 6 and 8."""
    return config.replace("train", max_steps=8, eval_every=2, warmup_steps=1, checkpoint_every=1)


def begin(journal: Path, config: Config, num_complete: int, loss_nats: float, is_extension: bool = False) -> Place:
    """Return the place of a new trial, after complete ones that have a loss at every validation.

    The loss of the second one, which has the lowest rate, is a little lower, so that the best trial is at an edge.
    """
    study = ArmStudy(journal, "arm", config, num_complete + (not is_extension))
    for index in range(num_complete + 1):
        trial = study.draw()
        assert trial is not None
        if index == num_complete:
            assert trial.is_extension == is_extension
            return study.place(trial)
        stored, lowest_nats = open_study(journal, "arm"), loss_nats - 0.01 * (index == 1)
        for step in (2, 4, 6, 8):
            stored._storage.set_trial_intermediate_value(stored.trials[index]._trial_id, step, lowest_nats)
        study.end(trial, make_outcome(lowest_nats))
    raise AssertionError


@pytest.mark.parametrize(
    ("num_complete", "loss_nats", "is_pruned"),
    [(NUM_FULL_TRIALS, 0.1, True), (NUM_FULL_TRIALS, 9.0, False), (NUM_FULL_TRIALS - 1, 0.1, False)],
)
def test_hopeless_trial_ends_early(
    quick: Config, tmp_path: Path, num_complete: int, loss_nats: float, is_pruned: bool
) -> None:
    """A trial above the median of enough complete ones ends in the middle, not before, and its directory says so."""
    place = begin(tmp_path / "journal", quick, num_complete, loss_nats)
    train_trial(quick, tmp_path / "trial", place, Reporter())
    losses = open_study(place.journal, "arm").trials[num_complete].intermediate_values
    end = read_end(tmp_path / "trial")
    if is_pruned:
        assert end == EarlyEnd(reason="pruned", step=4, val_loss_nats=min(losses.values()))
        assert list(losses) == [2, 4]
        assert (tmp_path / "trial" / FILE_NAME).exists()
    else:
        assert isinstance(end, Outcome)
        assert end.val_loss_nats == min(losses.values())
        assert list(losses) == [2, 4, 6, 8]
        assert end.test_loss_nats is None


def test_no_trial_of_an_extension_ends_early(quick: Config, tmp_path: Path) -> None:
    """A trial beyond an edge of the search is complete, whatever its losses; else none could show that it is worse."""
    place = begin(tmp_path / "journal", quick, NUM_FULL_TRIALS, 0.1, is_extension=True)
    train_trial(quick, tmp_path / "trial", place, Reporter())
    assert isinstance(read_end(tmp_path / "trial"), Outcome)


def test_last_validation_ends_no_trial(quick: Config, tmp_path: Path) -> None:
    """A trial that has taken all of its steps is complete, whatever its loss."""
    config = quick.replace("train", eval_every=8)
    place = begin(tmp_path / "journal", config, NUM_FULL_TRIALS, 0.1)
    train_trial(config, tmp_path / "trial", place, Reporter())
    assert isinstance(read_end(tmp_path / "trial"), Outcome)


def test_stopped_trial_goes_on(quick: Config, tmp_path: Path) -> None:
    """A trial that is resumed reports each validation once, and ends as one that was not stopped."""
    place = begin(tmp_path / "journal", quick, 0, 0.0)
    with pytest.raises(StoppedError):
        train_trial(quick, tmp_path / "trial", place, Stopper(4))
    assert read_end(tmp_path / "trial") is None
    (tmp_path / "trial" / "last.pt").unlink()  # so that it goes on after step 3, and validates after step 4 again
    train_trial(quick, tmp_path / "trial", place, Reporter())
    undisturbed = begin(tmp_path / "other", quick, 0, 0.0)
    train_trial(quick, tmp_path / "undisturbed", undisturbed, Reporter())
    values = [open_study(each.journal, "arm").trials[0].intermediate_values for each in (place, undisturbed)]
    assert values[0] == values[1]
    assert list(values[0]) == [2, 4, 6, 8]


def test_diverged_trial_is_no_failure(quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial whose loss is not a number ends with that reason and the losses before."""
    place = begin(tmp_path / "journal", quick, 0, 0.0)
    score, calls = evaluation._score, []

    def fail_third(*arguments: object) -> float:
        calls.append(arguments)
        return float("nan") if len(calls) > 4 else score(*arguments)  # two models are measured each time

    monkeypatch.setattr(evaluation, "_score", fail_third)
    train_trial(quick, tmp_path / "trial", place, Reporter())
    end = read_end(tmp_path / "trial")
    assert isinstance(end, EarlyEnd)
    assert (end.reason, end.step) == ("diverged", 4)
    assert end.val_loss_nats is not None


@pytest.mark.parametrize("content", ["", "{", '{"reason": "other"}'])
def test_damaged_end_is_none(tmp_path: Path, content: str) -> None:
    """A file that cannot be read is no end, so that the trial is trained again."""
    (tmp_path / FILE_NAME).write_text(content)
    assert read_end(tmp_path) is None
