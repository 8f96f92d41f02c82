"""The work of a comparison: what its agenda names becomes tasks, and each end is counted and announced."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlm.comparison.agenda import Agenda
from charlm.comparison.forecast import Forecast, measure_run, threads_of_job
from charlm.comparison.outcome import read_outcome
from charlm.comparison.plan import Plan, Run
from charlm.comparison.process import MakeReporter, Task
from charlm.text.corpus import load_corpus


@dataclass(frozen=True)
class Ending:
    """The end of a trial or run.

    Attributes:
        name: of its directory.
        duration_s: how long it was under way, in seconds.
        failure: why it failed; empty if it did not.
    """

    name: str
    duration_s: float
    failure: str


@dataclass(frozen=True)
class Progress:
    """How much of a comparison is done.

    Attributes:
        num_finished: trials and runs that are finished.
        num_tasks: trials and runs in all.
        left_s: expected seconds to the end, validations included.
        ending: what has just ended; None at the start.
    """

    num_finished: int
    num_tasks: int
    left_s: float
    ending: Ending | None = None


Announce = Callable[[Progress], None]


class Work:
    """Makes the tasks of a comparison one by one, and records how they end.

    Attributes:
        failures: the reason of each failure so far, by run directory.

    Args:
        plan: what to train.
        directory: of the comparison.
        num_jobs: how many tasks at a time.
        announce: called at the start, and with each trial or run that ends.
        make_reporter: makes the reporter of a run, given its directory and its name.

    Raises:
        InputError: what the directory holds of the tuning cannot be used.
    """

    def __init__(
        self, plan: Plan, directory: Path, num_jobs: int, announce: Announce, make_reporter: MakeReporter
    ) -> None:
        self._plan, self._directory, self._num_jobs = plan, directory, num_jobs
        self._announce, self._make_reporter = announce, make_reporter
        self._num_threads = threads_of_job(num_jobs)
        self._agenda = Agenda(plan, directory, num_jobs)
        self._under_way: dict[Path, tuple[Run, float]] = {}
        self._forecast = self._measure()
        self.failures: dict[Path, str] = {}
        announce(self.progress())

    def _measure(self) -> Forecast:
        """Measure the duration of a run of each arm that has any left."""
        corpus = load_corpus(self._plan.config.data.path, self._plan.config.data.level)
        arms, num_left = {self._plan.name(arm): arm for arm in self._plan.arms}, self._agenda.num_left
        measured_s = {
            name: measure_run(self._plan.configure(arm), corpus, self._num_threads)
            for name, arm in arms.items()
            if num_left[name]
        }
        return Forecast(measured_s, self._num_jobs)

    def progress(self, ending: Ending | None = None) -> Progress:
        """Return how much is done now."""
        under_way_s = sum(time.monotonic() - began_at_s for _, began_at_s in self._under_way.values())
        return Progress(
            num_finished=self._agenda.num_finished,
            num_tasks=self._agenda.num_tasks,
            left_s=self._forecast.left_s(self._agenda.num_left, under_way_s),
            ending=ending,
        )

    def next(self) -> Task | None:
        """Return the next task; None if others must end first, or there is none.

        Raises:
            InputError: the directory of a trial holds another run.
        """
        found = self._agenda.next()
        if found is None:
            return None
        run, place = found
        directory = self._directory / run.name
        self._under_way[directory] = (run, time.monotonic())
        return Task(
            config=run.config,
            directory=directory,
            has_test=self._plan.has_test and place is None,
            num_threads=self._num_threads,
            is_alone=self._num_jobs == 1,
            make_reporter=self._make_reporter,
            place=place,
        )

    def end(self, task: Task, failure: str, duration_s: float) -> None:
        """Record that a task has ended, and announce it.

        Args:
            task: as returned by ``next``.
            failure: why it failed; empty if it did not.
            duration_s: how long it took.
        """
        run, _ = self._under_way.pop(task.directory)
        if failure:
            self.failures[task.directory] = failure
        elif read_outcome(task.directory):
            self._forecast.observe(self._plan.name(run.arm), duration_s)
        self._agenda.end(run, bool(failure))
        self._announce(self.progress(Ending(task.directory.name, duration_s, failure)))
