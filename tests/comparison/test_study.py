"""The study of an arm: trials that can be repeated, that go on after a stop, and that extend the search at an edge."""

import json
import math
from pathlib import Path

import optuna
import pytest
from outcomes import make_outcome

from charlm.comparison.journal import open_study
from charlm.comparison.pruning import EarlyEnd
from charlm.comparison.search import DROPOUT, RATE, Values, find_ranges, first_values
from charlm.comparison.study import NUM_UNGUIDED_TRIALS, ArmStudy, read_trials
from charlm.comparison.tuning import MAX_EXTENSIONS, Trial, find_edge
from charlm.config import Config
from charlm.errors import InputError


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the path of a journal that is not there yet."""
    return tmp_path / "tuning" / "arm.journal"


def measure(values: Values, best_rate: float) -> float:
    """Return a loss that is lowest at a learning rate, and grows with the dropout."""
    return 1 + math.log10(values[RATE] / best_rate) ** 2 + values[DROPOUT]


def search(journal: Path, config: Config, num_trials: int, best_rate: float = 0.01) -> list[Trial]:
    """Draw and end trials to the end of the search, each by a new object, as after a stop."""
    while (trial := ArmStudy(journal, "arm", config, num_trials).draw()) is not None:
        study = ArmStudy(journal, "arm", config, num_trials)
        study.end(trial, make_outcome(measure(trial.values, best_rate)))
    return read_trials(journal, "arm")


def test_search(journal: Path, config: Config) -> None:
    """The first trials have the first values, all lie in the ranges, and their losses are kept."""
    trials = search(journal, config, 8)
    assert [trial.number for trial in trials] == list(range(1, 9))
    assert [trial.values for trial in trials[:3]] == first_values(config)
    for key, searched in find_ranges(config).items():
        assert all(searched.low <= trial.values[key] <= searched.high for trial in trials)
        assert len({trial.values[key] for trial in trials[3:]}) > 1
    assert all(trial.val_loss_nats == measure(trial.values, 0.01) for trial in trials)
    assert {trial.state for trial in trials} == {"complete"}


def test_search_is_repeated_with_its_seed(journal: Path, config: Config) -> None:
    """The same seed gives the same trials, whether one process draws them or many; another seed gives others."""
    trials = search(journal, config, 7)
    study = ArmStudy(journal.with_name("again"), "arm", config, 7)
    while (trial := study.draw()) is not None:
        study.end(trial, make_outcome(measure(trial.values, 0.01)))
    assert study.trials == trials
    assert search(journal.with_name("other"), config.replace("train", seed=2), 7) != trials


def test_trials_learn_from_losses(journal: Path, config: Config) -> None:
    """Trials of one number are alike in all arms until losses guide them."""
    low, high = (search(journal.with_name(f"{rate}"), config, 8, best_rate=rate) for rate in (0.003, 0.03))
    assert [trial.values for trial in low[:NUM_UNGUIDED_TRIALS]] == [
        trial.values for trial in high[:NUM_UNGUIDED_TRIALS]
    ]
    assert low[NUM_UNGUIDED_TRIALS].values != high[NUM_UNGUIDED_TRIALS].values


@pytest.mark.parametrize("factor", [10**-2.0, 10**2.0])
def test_search_is_extended_until_the_best_lies_inside(journal: Path, config: Config, factor: float) -> None:
    """With the best rate far outside of the range, further trials follow beyond the edge until the best lies inside."""
    trials = search(journal, config, 4, best_rate=config.train.learning_rate * factor)
    extensions = [trial for trial in trials if trial.is_extension]
    assert extensions == trials[4:]
    assert 1 < len(extensions) <= MAX_EXTENSIONS
    assert find_edge(trials) is None
    searched = find_ranges(config)[RATE]
    assert not searched.low <= extensions[-1].values[RATE] <= searched.high


def test_extensions_end_at_the_limit(journal: Path, config: Config) -> None:
    """With the best rate out of reach, the search ends at the limit, at an edge."""
    trials = search(journal, config, 3, best_rate=1e9)
    assert sum(trial.is_extension for trial in trials) == MAX_EXTENSIONS
    assert find_edge(trials) == "highest"


def test_endings(journal: Path, config: Config) -> None:
    """A trial that ended early keeps its reason and its lowest loss, and one that did not end is unfinished."""
    study = ArmStudy(journal, "arm", config, 4)
    for reason in ("pruned", "diverged"):
        trial = study.draw()
        assert trial is not None
        study.end(trial, EarlyEnd.model_validate({"reason": reason, "step": 0, "val_loss_nats": None}))
    study.draw()
    assert [trial.state for trial in read_trials(journal, "arm")] == ["pruned", "diverged", "unfinished"]


@pytest.mark.parametrize("number", [1, 4])
def test_half_drawn_trial_is_completed(journal: Path, config: Config, number: int) -> None:
    """A trial whose process died while it drew the values gets the missing ones."""
    trials = search(journal, config, 4)
    lines = journal.read_text().splitlines(keepends=True)
    values = [index for index, line in enumerate(lines) if json.loads(line)["op_code"] == 5]  # four for each trial
    half = values[4 * number - 2]
    journal.write_text("".join(lines[:half]) + lines[half][:20])
    assert read_trials(journal, "arm")[: number - 1] == trials[: number - 1]
    drawn = ArmStudy(journal, "arm", config, 4).draw()
    assert drawn is not None
    assert drawn.number == number
    assert drawn.values.keys() == trials[number - 1].values.keys()
    assert list(drawn.values.items())[:2] == list(trials[number - 1].values.items())[:2]


def test_optuna_reads_the_journal(journal: Path, config: Config) -> None:
    """Optuna itself opens the study, with its parameters and losses."""
    trials = search(journal, config, 3)
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    study = optuna.load_study(study_name="arm", storage=optuna.storages.JournalStorage(backend))
    assert [trial.params for trial in study.trials] == [trial.values for trial in trials]
    assert study.best_value == min(trial.val_loss_nats or math.inf for trial in trials)


def test_reading_changes_nothing(journal: Path, config: Config) -> None:
    """Reading leaves a journal as it is; where there is none there are no trials, and none is made."""
    assert read_trials(journal, "arm") == []
    assert not journal.parent.exists()
    search(journal, config, 1)
    before = journal.read_bytes()
    assert read_trials(journal, "arm") != []
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["{\n", "[1]\n", '{"op_code": 77}\n', '{"worker_id": "x"}\n', "half\n{}\n", "\0\0\n"]
)
def test_damaged_journal_is_named(journal: Path, config: Config, content: str) -> None:
    """A journal that Optuna cannot read is named, with what to do."""
    search(journal, config, 1)
    journal.write_text(content + journal.read_text())
    with pytest.raises(InputError, match=r"arm\.journal: cannot be read as a journal of Optuna .*Restore the file"):
        ArmStudy(journal, "arm", config, 1)
    with pytest.raises(InputError, match=r"arm\.journal: cannot be read"):
        read_trials(journal, "arm")


def test_other_version_is_named(journal: Path, config: Config) -> None:
    """A study that another version of charlm has written is refused."""
    search(journal, config, 1)
    open_study(journal, "arm").set_user_attr("charlm_version", 2)
    with pytest.raises(InputError, match=r"arm\.journal: its study has version 2, and this charlm reads version 1"):
        ArmStudy(journal, "arm", config, 1)
