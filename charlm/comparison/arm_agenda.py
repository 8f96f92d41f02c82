"""What is left to train of one arm: the trials of its tuning, then its runs with the values of the best trial."""

from pathlib import Path

from charlm.comparison.arms import Arm
from charlm.comparison.outcome import read_outcome
from charlm.comparison.plan import Plan, Run
from charlm.comparison.pruning import Place, read_end
from charlm.comparison.study import ArmStudy
from charlm.comparison.tuning import Trial, find_best
from charlm.config import load_config
from charlm.errors import InputError
from charlm.runs.directory import RunDirectory
from charlm.runs.resumption import find_changes


class ArmAgenda:
    """The trials and runs of one arm that are left.

    Args:
        plan: of the comparison.
        arm: one of its arms.
        directory: of the comparison.
        max_parallel_trials: how many trials may be under way at a time; with 1, the search depends on no clock.

    Raises:
        InputError: the journal of the study is damaged, or of another version.
    """

    def __init__(self, plan: Plan, arm: Arm, directory: Path, max_parallel_trials: int) -> None:
        self._plan, self._arm, self._directory = plan, arm, directory
        self._max_parallel_trials = max_parallel_trials
        self._study = (
            ArmStudy(directory / plan.journal(arm), plan.name(arm), plan.configure(arm), plan.num_trials)
            if plan.num_trials
            else None
        )
        self._trials_under_way: dict[str, Trial] = {}
        self._failed_trials: set[int] = set()
        self._runs_under_way: set[str] = set()
        self._num_failed = 0
        self._waiting_runs: list[Run] | None = None

    @property
    def _trials(self) -> list[Trial]:
        return self._study.trials if self._study else []

    @property
    def num_begun_trials(self) -> int:
        """The number of trials that have ended or are under way, without those that wait to go on after a stop."""
        return sum(trial.state != "unfinished" for trial in self._trials) + len(self._trials_under_way)

    @property
    def num_tasks(self) -> int:
        """The number of trials and runs, finished ones included, with the extensions that have been drawn."""
        return max(len(self._trials), self._plan.num_trials) + len(self._plan.seeds)

    @property
    def num_finished(self) -> int:
        """The number of trials and runs whose end is recorded, or was at the start."""
        trials = self._trials
        best = find_best(trials)
        runs = self._plan.runs(self._arm, best) if best or not self._study else []
        ended = [run for run in runs if run.name not in self._runs_under_way]
        num_runs = sum(read_outcome(self._directory / run.name) is not None for run in ended)
        return num_runs + sum(trial.state != "unfinished" for trial in trials)

    @property
    def num_left(self) -> int:
        """The number of trials and runs that have neither finished nor failed."""
        return self.num_tasks - self.num_finished - self._num_failed

    def next_trial(self) -> tuple[Run, Place] | None:
        """Return the next trial to train; None if there is none, or if others must end first.

        Raises:
            InputError: its directory holds another run.
        """
        while self._study and (trial := self._pick_trial(self._study)):
            run = self._plan.trial_run(self._arm, trial)
            self._refuse_other_run(run)
            end = read_end(self._directory / run.name)
            if end is None:
                self._trials_under_way[run.name] = trial
                return run, self._study.place(trial)
            self._study.end(trial, end)  # an earlier process was stopped before it recorded the end
        return None

    def _pick_trial(self, study: ArmStudy) -> Trial | None:
        """Return a trial that was stopped, or a new one."""
        if len(self._trials_under_way) >= self._max_parallel_trials:
            return None
        unfinished = [trial for trial in study.trials if trial.state == "unfinished"]
        under_way = {trial.number for trial in self._trials_under_way.values()} | self._failed_trials
        for trial in unfinished:
            if trial.number not in under_way:
                return trial
        is_drawn = len(study.trials) >= self._plan.num_trials
        return None if is_drawn and unfinished else study.draw()  # an extension needs the losses of all others

    def _refuse_other_run(self, run: Run) -> None:
        path = RunDirectory(self._directory / run.name).config_path
        if path.exists() and (changes := find_changes(load_config(path), run.config)):
            raise InputError(
                f"{path.parent}: this trial is not that of {self._plan.journal(self._arm)}: {changes[0]}. "
                "Move the directory away, or give another one with --out."
            )

    def end(self, run: Run, is_failed: bool) -> None:
        """Record that a trial or run is no longer under way; if it failed, only another process tries it again."""
        self._num_failed += is_failed
        self._runs_under_way.discard(run.name)
        trial = self._trials_under_way.pop(run.name, None)
        if trial is None or self._study is None:
            return
        if is_failed:
            self._failed_trials.add(trial.number)
        elif end := read_end(self._directory / run.name):
            self._study.end(trial, end)

    def next_run(self, seed: int) -> Run | None:
        """Return the run of a seed; None if it is finished or was returned before, or if the best trial is not known.

        It is known when ``next_trial`` has returned None and no trial is under way.
        """
        if self._trials_under_way:
            return None
        if self._waiting_runs is None:
            best = find_best(self._trials)
            runs = self._plan.runs(self._arm, best) if best or not self._study else []
            self._waiting_runs = [run for run in runs if read_outcome(self._directory / run.name) is None]
        for run in self._waiting_runs:
            if run.config.train.seed == seed:
                self._waiting_runs.remove(run)
                self._runs_under_way.add(run.name)
                return run
        return None
