"""A trial in its own process: a run that reports its validations to the study of its arm, and may end early."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from charlm.comparison.journal import open_study, report_full_disk
from charlm.comparison.outcome import Finding, Outcome, read_outcome, train_to_outcome
from charlm.config import Config
from charlm.errors import DivergedError
from charlm.runs.directory import RunDirectory
from charlm.runs.metrics import Row
from charlm.system.files import write_atomically
from charlm.training.reporter import Reporter, Reporters

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import Trial

FILE_NAME = "ended-early.json"

NUM_FULL_TRIALS = 4
"""Trials of an arm that must be complete before another one may end early."""

FULL_FRAC = 0.5
"""Fraction of the steps before which no trial ends early: losses of high learning rates fall late, with the rate."""


class EarlyEnd(Finding):
    """A trial that ended before its last step, in ``ended-early.json`` in its directory."""

    reason: Literal["pruned", "diverged"] = Field(
        description="pruned: the validation losses were above the median of the other trials; "
        "diverged: a loss or gradient was not finite."
    )
    step: int = Field(description="The last validation before the end, or 0.")
    val_loss_nats: float | None = Field(description="Lowest validation loss; null before the first validation.")


@dataclass(frozen=True)
class Place:
    """Where the validations of a trial are reported.

    Attributes:
        journal: the file of the study.
        study: its name.
        index: of the trial in the study, from 0.
        is_prunable: whether the trial may end early.
    """

    journal: Path
    study: str
    index: int
    is_prunable: bool


class HopelessTrialError(Exception):
    """Ends a trial whose losses are above the median of the other trials."""


def make_pruner(max_steps: int) -> "BasePruner":
    """Return what ends trials early: a lowest loss so far above the median loss of complete trials at the same step."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=NUM_FULL_TRIALS, n_warmup_steps=round(FULL_FRAC * max_steps))


class PruningReporter(Reporter):
    """Reports the validations of a trial to its study, and ends a hopeless trial.

    Args:
        place: where to report.
        max_steps: of the trial.
    """

    def __init__(self, place: Place, max_steps: int) -> None:
        self._place, self._max_steps = place, max_steps
        self._trial, self._reported = _open_trial(place, max_steps)

    def log(self, row: Row) -> None:
        """Report a validation.

        Raises:
            HopelessTrialError: the trial should end.
        """
        if row["split"] != "val":
            return
        with report_full_disk(self._place.journal):
            if row["step"] not in self._reported:  # a resumed trial may repeat validations
                self._trial.report(row["loss_nats"], row["step"])
        if self._place.is_prunable and row["step"] < self._max_steps and self._trial.should_prune():
            raise HopelessTrialError


def _open_trial(place: Place, max_steps: int) -> "tuple[Trial, set[int]]":
    """Return a trial of a study, and the steps whose validations it has reported."""
    from optuna.samplers import RandomSampler
    from optuna.trial import Trial

    study = open_study(place.journal, place.study, RandomSampler(), make_pruner(max_steps))  # nothing is drawn
    stored = study.trials[place.index]
    return Trial(study, stored._trial_id), set(stored.intermediate_values)


def train_trial(config: Config, directory: Path, place: Place, reporter: Reporter) -> None:
    """Train or resume a trial, and write ``outcome.json``, or ``ended-early.json`` if it is pruned or diverges.

    Args:
        config: of the trial.
        directory: its run directory.
        place: where its validations are reported.
        reporter: receives every event.

    Raises:
        StoppedError: the process received a signal; the state was saved.
        CharlmError: the trial failed.
    """
    reason: Literal["pruned", "diverged"]
    try:
        reporters = Reporters([reporter, PruningReporter(place, config.train.max_steps)])
        train_to_outcome(config, directory, has_test=False, reporter=reporters)
        return
    except HopelessTrialError:
        reason = "pruned"
    except DivergedError:
        reason = "diverged"
    validations = {
        row["step"]: row["loss_nats"] for row in RunDirectory(directory).read_rows() if row["split"] == "val"
    }
    end = EarlyEnd(
        reason=reason, step=max(validations, default=0), val_loss_nats=min(validations.values(), default=None)
    )
    write_atomically(directory / FILE_NAME, (end.model_dump_json(indent=2) + "\n").encode())


def read_end(directory: Path) -> Outcome | EarlyEnd | None:
    """Return how a trial ended, or None if it has not, or the file of its end is damaged."""
    outcome = read_outcome(directory)
    if outcome is not None:
        return outcome
    try:
        return EarlyEnd.model_validate_json((directory / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
