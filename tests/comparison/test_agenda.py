"""The order of trials and runs, without any training: each ends with a made-up outcome."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from outcomes import make_outcome

from charlm.comparison.agenda import Agenda
from charlm.comparison.outcome import FILE_NAME
from charlm.comparison.plan import Plan, Run, plan_comparison
from charlm.config import Config
from charlm.errors import InputError


def plan(config: Config, num_trials: int, budgets: tuple[int, ...] = (10, 9)) -> Plan:
    """Plan a comparison of two depths at two widths under two seeds."""
    return plan_comparison(config, [2, 1], [1, 2], "width", list(budgets), num_trials)


def measure(run: Run) -> float:
    """Return a loss that is lowest at the configured learning rate of the tests."""
    return 1 + abs(run.config.train.learning_rate / 6e-3 - 1)


def finish(run: Run, directory: Path) -> None:
    """Write the outcome of a trial or run."""
    (directory / run.name).mkdir(parents=True, exist_ok=True)
    outcome = make_outcome(measure(run), run.config.train.seed)
    (directory / run.name / FILE_NAME).write_text(outcome.model_dump_json())


def work_off(agenda: Agenda, directory: Path, is_failing: Callable[[Run], bool] = lambda _: False) -> list[str]:
    """Finish whatever an agenda names, one by one, and return the names."""
    names = []
    while found := agenda.next():
        run, _ = found
        names.append(run.name)
        if not is_failing(run):
            finish(run, directory)
        agenda.end(run, is_failing(run))
    return names


def test_order(config: Config, tmp_path: Path) -> None:
    """The cheaper budget comes first; in it the arms take turns with their trials; then come the runs, seed by seed."""
    names = work_off(Agenda(plan(config, 3), tmp_path, 1), tmp_path)
    assert names[:10] == [
        *("tuning/2x9-trial-01", "tuning/1x9-trial-01", "tuning/2x9-trial-02", "tuning/1x9-trial-02"),
        *("tuning/2x9-trial-03", "tuning/1x9-trial-03"),
        *("2x9-seed-1-trial-01", "1x9-seed-1-trial-01", "2x9-seed-2-trial-01", "1x9-seed-2-trial-01"),
    ]
    assert [name.replace("x10", "x9") for name in names[10:]] == names[:10]


def test_counts(config: Config, tmp_path: Path) -> None:
    """Trials and runs of all arms are counted together, and each that ends is one less."""
    agenda = Agenda(plan(config, 3, (9,)), tmp_path, 1)
    assert (agenda.num_tasks, agenda.num_finished, agenda.num_left) == (10, 0, {"2x9": 5, "1x9": 5})
    found = agenda.next()
    assert found is not None
    finish(found[0], tmp_path)
    agenda.end(found[0], False)
    assert (agenda.num_tasks, agenda.num_finished, agenda.num_left) == (10, 1, {"2x9": 4, "1x9": 5})
    work_off(agenda, tmp_path)
    assert (agenda.num_finished, agenda.num_left) == (10, {"2x9": 0, "1x9": 0})


def test_a_run_counts_when_its_end_is_recorded(config: Config, tmp_path: Path) -> None:
    """Of two runs that end at the same time, the first that is recorded counts as one."""
    agenda = Agenda(plan(config, 0, (9,)), tmp_path, 2)
    runs = [found[0] for found in (agenda.next(), agenda.next()) if found]
    for run in runs:
        finish(run, tmp_path)
    for number, run in enumerate(runs, start=1):
        agenda.end(run, False)
        assert agenda.num_finished == number


def test_extensions_are_counted(config: Config, tmp_path: Path) -> None:
    """A trial beyond an edge is one more."""
    agenda = Agenda(plan(config.replace("train", learning_rate=6e-4), 3, (9,)), tmp_path, 1)
    names = work_off(agenda, tmp_path)
    assert "tuning/2x9-trial-04" in names
    assert agenda.num_tasks == agenda.num_finished == len(names) > 10


@pytest.mark.parametrize(("num_jobs", "num_of_one_arm"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_trials_of_an_arm_overlap_only_where_jobs_would_be_idle(
    config: Config, tmp_path: Path, num_jobs: int, num_of_one_arm: int
) -> None:
    """As long as there are as many arms as jobs, an arm has one trial under way at a time."""
    agenda = Agenda(plan(config, 5, (9,)), tmp_path, num_jobs)
    names = []
    while found := agenda.next():
        names.append(found[0].name)
    assert names[: 2 * num_of_one_arm] == names
    assert len([name for name in names if "/2x9" in name]) == num_of_one_arm


def test_stopped_trials_come_first(config: Config, tmp_path: Path) -> None:
    """What was under way when the process ended is trained on, and nothing is drawn in its place."""
    names = []
    for _ in range(3):
        found = Agenda(plan(config, 3), tmp_path, 1).next()
        assert found is not None
        names.append(found[0])
    assert names[0] == names[1] == names[2]
    finish(names[0], tmp_path)  # the process died before it told the study
    rest = work_off(Agenda(plan(config, 3), tmp_path, 1), tmp_path)
    assert sorted(rest[:2]) == ["tuning/1x9-trial-01", "tuning/2x9-trial-02"]
    assert len(rest) == 19


def test_failed_trial_is_left_for_the_next_call(config: Config, tmp_path: Path) -> None:
    """A failed trial is not tried again by the same process, and keeps its number and values for the next one."""

    def is_failing(run: Run) -> bool:
        return run.name == "tuning/2x9-trial-02"

    names = work_off(Agenda(plan(config, 3, (9,)), tmp_path, 1), tmp_path, is_failing)
    assert names.count("tuning/2x9-trial-02") == 1
    assert len(names) == 10
    again = Agenda(plan(config, 3, (9,)), tmp_path, 1)
    assert again.num_left == {"2x9": 1, "1x9": 0}
    assert work_off(again, tmp_path) == ["tuning/2x9-trial-02"]


def test_lost_journal_is_made_again(config: Config, tmp_path: Path) -> None:
    """Without the journals, the same trials are drawn, found finished, and told to the studies."""
    work_off(Agenda(plan(config, 4), tmp_path, 1), tmp_path)
    for path in (tmp_path / "tuning").glob("*.journal"):
        path.unlink()
    agenda = Agenda(plan(config, 4), tmp_path, 1)
    assert work_off(agenda, tmp_path) == []
    assert agenda.num_finished == agenda.num_tasks


def test_directory_of_another_trial_is_refused(config: Config, tmp_path: Path) -> None:
    """A directory whose configuration is not that of the trial is named with the difference."""
    other = config.replace("model", hidden_size=9).replace("train", learning_rate=0.5, seed=0)
    path = tmp_path / "tuning" / "2x9-trial-01" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(other.to_yaml())
    agenda = Agenda(plan(config, 3), tmp_path, 1)
    with pytest.raises(
        InputError, match=r"2x9-trial-01: this trial is not that of .*2x9\.journal: train\.learning_rate"
    ):
        agenda.next()
    shutil.rmtree(path.parent)
    assert agenda.next() is not None
