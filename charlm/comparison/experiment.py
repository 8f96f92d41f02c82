"""Running a comparison: the trials of every arm, then its runs; what is finished is never trained again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from charlm.comparison.arms import Arm
from charlm.comparison.outcome import Outcome, read_outcome
from charlm.comparison.plan import Plan, Run, threads_of_job
from charlm.comparison.tuning import Candidate
from charlm.comparison.workers import Announce, Task, run_tasks


@dataclass(frozen=True)
class ArmOutcome:
    """What came of one arm.

    Attributes:
        arm: its depth and width.
        trials: what each candidate reached, or None where its trial has not finished; in the order of the candidates.
        chosen: the best candidate; None where no trial has finished.
        runs: the runs that finished, by seed.
        failures: of runs and trials that did not finish, by directory: why.
    """

    arm: Arm
    trials: list[Outcome | None] = field(default_factory=list)
    chosen: Candidate | None = None
    runs: dict[int, Outcome] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_comparison(plan: Plan, directory: Path, num_jobs: int, announce: Announce) -> dict[Path, str]:
    """Train all that is not yet trained, and return why those runs failed that did.

    Args:
        plan: what to train.
        directory: where the run directories go.
        num_jobs: how many runs at a time.
        announce: is told of each ending in a line.

    Raises:
        StoppedError: a signal came; everything is saved.
    """
    trials = [run for arm in plan.arms for run in plan.trials(arm)]
    failures = _train(trials, directory, False, num_jobs, announce)
    chosen = {arm: _choose(plan, arm, directory) for arm in plan.arms}
    runs = [run for arm, candidate in chosen.items() if candidate for run in plan.runs(arm, candidate)]
    return failures | _train(runs, directory, plan.config.data.test_frac > 0, num_jobs, announce)


def _train(runs: Sequence[Run], directory: Path, has_test: bool, num_jobs: int, announce: Announce) -> dict[Path, str]:
    unfinished = {run.name: run for run in runs if read_outcome(directory / run.name) is None}  # each name once
    num_threads = threads_of_job(num_jobs)
    tasks = [
        Task(run.config, directory / name, has_test, num_threads, num_jobs == 1) for name, run in unfinished.items()
    ]
    return run_tasks(tasks, num_jobs, announce)


def _choose(plan: Plan, arm: Arm, directory: Path) -> Candidate | None:
    """Return the candidate whose trial had the lowest validation loss; the configured one where nothing is tuned."""
    if not plan.num_trials:
        return plan.candidates[0]
    outcomes = _read_trials(plan, arm, directory)
    losses = {
        candidate: outcome.val_loss_nats
        for candidate, outcome in zip(plan.candidates, outcomes, strict=True)
        if outcome is not None
    }
    return min(losses, key=losses.__getitem__) if losses else None


def _read_trials(plan: Plan, arm: Arm, directory: Path) -> list[Outcome | None]:
    return [read_outcome(directory / run.name) for run in plan.trials(arm)]


def read_comparison(plan: Plan, directory: Path, failures: dict[Path, str]) -> list[ArmOutcome]:
    """Return what came of each arm so far, by what lies in the run directories.

    Args:
        plan: what was to be trained.
        directory: where the run directories are.
        failures: why runs failed, as ``run_comparison`` told; others that are not finished are said to be that.
    """
    return [_read_arm(plan, arm, directory, failures) for arm in plan.arms]


def _read_arm(plan: Plan, arm: Arm, directory: Path, failures: dict[Path, str]) -> ArmOutcome:
    chosen = _choose(plan, arm, directory)
    runs = plan.runs(arm, chosen) if chosen else []
    outcomes = {run.config.train.seed: read_outcome(directory / run.name) for run in runs}
    names = [run.name for run in [*plan.trials(arm), *runs] if read_outcome(directory / run.name) is None]
    return ArmOutcome(
        arm=arm,
        trials=_read_trials(plan, arm, directory),
        chosen=chosen,
        runs={seed: outcome for seed, outcome in outcomes.items() if outcome},
        failures={name: failures.get(directory / name, "not finished") for name in names},
    )
