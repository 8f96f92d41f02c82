"""Run a comparison: the trials of every arm, then its runs. Finished runs are not trained again."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from charlm.comparison.arms import Arm
from charlm.comparison.outcome import Outcome, read_outcome
from charlm.comparison.plan import Plan, Run, threads_of_job
from charlm.comparison.process import MakeReporter, Task, silence
from charlm.comparison.stored_plan import store_plan
from charlm.comparison.tuning import Candidate
from charlm.comparison.workers import run_tasks

Announce = Callable[[str], None]


@dataclass(frozen=True)
class ArmOutcome:
    """The results of one arm.

    Attributes:
        arm: its depth and width.
        trials: the result of each candidate, in order; None if its trial has not finished.
        chosen: the best candidate; None if no trial has finished.
        runs: the runs that finished, by seed.
        failures: the reason why a run or trial did not finish, by directory.
    """

    arm: Arm
    trials: list[Outcome | None] = field(default_factory=list)
    chosen: Candidate | None = None
    runs: dict[int, Outcome] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_comparison(
    plan: Plan,
    directory: Path,
    num_jobs: int,
    announce: Announce,
    make_reporter: MakeReporter = silence,
    share: tuple[int, int] = (1, 1),
) -> dict[Path, str]:
    """Store the plan, train the runs that are not finished, and return the reason of each failure.

    Args:
        plan: what to train.
        directory: where the plan and the run directories go.
        num_jobs: how many runs at a time.
        announce: called with one line for each run that ends.
        make_reporter: makes the reporter of a run, given its directory and its name; a function of a module, since it
            is called in another process.
        share: index and number of shares of the arms, of which only one is trained.

    Raises:
        InputError: the directory holds runs of another plan.
        StoppedError: the process received a signal; all states were saved.
    """
    store_plan(plan, directory)
    plan = plan.take_share(*share)
    trials = [run for arm in plan.arms for run in plan.trials(arm)]
    failures = _train(trials, directory, False, num_jobs, announce, make_reporter)
    chosen = {arm: _choose(plan, arm, directory) for arm in plan.arms}
    runs = [run for arm, candidate in chosen.items() if candidate for run in plan.runs(arm, candidate)]
    return failures | _train(runs, directory, plan.has_test, num_jobs, announce, make_reporter)


def _train(
    runs: Sequence[Run],
    directory: Path,
    has_test: bool,
    num_jobs: int,
    announce: Announce,
    make_reporter: MakeReporter,
) -> dict[Path, str]:
    missing = {run.name: run for run in runs if read_outcome(directory / run.name) is None}  # each name once
    num_threads = threads_of_job(num_jobs)
    tasks = [
        Task(run.config, directory / name, has_test, num_threads, num_jobs == 1, make_reporter)
        for name, run in missing.items()
    ]
    queue = _Queue(tasks, announce)
    run_tasks(queue, num_jobs)
    return queue.failures


class _Queue:
    """Tasks that wait, and why those that failed did."""

    def __init__(self, tasks: Sequence[Task], announce: Announce) -> None:
        self._waiting, self._announce = deque(tasks), announce
        self._num_tasks, self._num_done = len(tasks), 0
        self.failures: dict[Path, str] = {}

    def next(self) -> Task | None:
        return self._waiting.popleft() if self._waiting else None

    def end(self, task: Task, failure: str, duration_s: float) -> None:
        self._num_done += 1
        ending = f"failed after {duration_s:.0f} s: {failure}" if failure else f"done after {duration_s:.0f} s"
        self._announce(f"[{self._num_done}/{self._num_tasks}] {task.directory.name} {ending}")
        if failure:
            self.failures[task.directory] = failure


def _choose(plan: Plan, arm: Arm, directory: Path) -> Candidate | None:
    """Return the candidate whose trial had the lowest validation loss; without tuning, the configured one."""
    if not plan.num_trials:
        return plan.candidates[0]
    outcomes = [read_outcome(directory / run.name) for run in plan.trials(arm)]
    losses = {
        candidate: outcome.val_loss_nats
        for candidate, outcome in zip(plan.candidates, outcomes, strict=True)
        if outcome is not None
    }
    return min(losses, key=losses.__getitem__) if losses else None


def read_comparison(plan: Plan, directory: Path, failures: dict[Path, str]) -> list[ArmOutcome]:
    """Return the results of each arm so far, read from the run directories.

    Args:
        plan: what was to be trained.
        directory: where the run directories are.
        failures: why runs failed, from ``run_comparison``; others are reported as not finished.
    """
    return [_read_arm(plan, arm, directory, failures) for arm in plan.arms]


def _read_arm(plan: Plan, arm: Arm, directory: Path, failures: dict[Path, str]) -> ArmOutcome:
    chosen = _choose(plan, arm, directory)
    trials = {run.name: read_outcome(directory / run.name) for run in plan.trials(arm)}
    runs = {run.name: read_outcome(directory / run.name) for run in (plan.runs(arm, chosen) if chosen else [])}
    return ArmOutcome(
        arm=arm,
        trials=list(trials.values()),
        chosen=chosen,
        runs={outcome.seed: outcome for outcome in runs.values() if outcome},
        failures={
            name: failures.get(directory / name, "not finished")
            for name, outcome in (trials | runs).items()
            if outcome is None
        },
    )
