"""Run a comparison: the trials of every arm and its runs. What is finished is not trained again."""

from dataclasses import dataclass, field
from pathlib import Path

from charlm.comparison.arms import Arm
from charlm.comparison.outcome import Outcome, read_outcome
from charlm.comparison.plan import Plan
from charlm.comparison.process import MakeReporter, silence
from charlm.comparison.stored_plan import store_plan
from charlm.comparison.study import read_trials
from charlm.comparison.tuning import Trial, find_best
from charlm.comparison.work import Announce, Work
from charlm.comparison.workers import Pool, run_tasks


@dataclass(frozen=True)
class ArmOutcome:
    """The results of one arm.

    Attributes:
        arm: its depth and width.
        trials: the trials that were drawn, by number.
        best: the trial whose values the runs have; None without tuning, and if no trial is complete.
        runs: the runs that finished, by seed.
        failures: the reason why a run or trial did not finish, by directory.
    """

    arm: Arm
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    runs: dict[int, Outcome] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_comparison(
    plan: Plan,
    directory: Path,
    pool: Pool,
    announce: Announce,
    make_reporter: MakeReporter = silence,
    share: tuple[int, int] = (1, 1),
) -> dict[Path, str]:
    """Store the plan, train the trials and runs that are not finished, and return the reason of each failure.

    Args:
        plan: what to train.
        directory: where the plan and the run directories go.
        pool: trains them; it is stopped at the end.
        announce: called at the start, and with each trial or run that ends.
        make_reporter: makes the reporter of a run, given its directory and its name; a function of a module, since it
            is called in another process.
        share: index and number of shares of the arms, of which only one is trained.

    Raises:
        InputError: the directory holds runs of another plan, or what it holds of the tuning cannot be used.
        StoppedError: the process received a signal; all states were saved.
        CharlmError: the cluster of the pool is gone; all states are saved.
    """
    store_plan(plan, directory)
    work = Work(plan.take_share(*share), directory, pool.count_places(), announce, make_reporter)
    run_tasks(work, pool)
    return work.failures


def read_comparison(plan: Plan, directory: Path, failures: dict[Path, str]) -> list[ArmOutcome]:
    """Return the results of each arm so far, read from the studies and the run directories.

    Args:
        plan: what was to be trained.
        directory: where the run directories are.
        failures: why runs failed, from ``run_comparison``; others are reported as not finished.

    Raises:
        InputError: the journal of a study is damaged, or of another version.
    """
    return [_read_arm(plan, arm, directory, failures) for arm in plan.arms]


def _read_arm(plan: Plan, arm: Arm, directory: Path, failures: dict[Path, str]) -> ArmOutcome:
    trials = read_trials(directory / plan.journal(arm), plan.name(arm)) if plan.num_trials else []
    best = find_best(trials)
    runs = plan.runs(arm, best) if best or not plan.num_trials else []
    outcomes = {run.name: read_outcome(directory / run.name) for run in runs}
    unfinished = [plan.name_trial(arm, number) for number in _unfinished_numbers(plan, trials)]
    unfinished += [name for name, outcome in outcomes.items() if outcome is None]
    return ArmOutcome(
        arm=arm,
        trials=trials,
        best=best,
        runs={outcome.seed: outcome for outcome in outcomes.values() if outcome},
        failures={name: failures.get(directory / name, "not finished") for name in unfinished},
    )


def _unfinished_numbers(plan: Plan, trials: list[Trial]) -> list[int]:
    """Return the numbers of the trials that have not ended, drawn or not."""
    ended = {trial.number for trial in trials if trial.state != "unfinished"}
    return [number for number in range(1, max(plan.num_trials, len(trials)) + 1) if number not in ended]
