"""The search for the values of one arm: an Optuna study, kept in the directory of the comparison.

Trials are drawn by the tree-structured Parzen estimator (TPE), which also learns from trials that ended early. Each is
drawn with a seed of its own, so that a study that was stopped goes on as it would have.

Source: Bergstra et al., NeurIPS 2011: the estimator.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from charlm.comparison.journal import drop_unfinished_line, open_study, report_full_disk
from charlm.comparison.outcome import Outcome
from charlm.comparison.pruning import EarlyEnd, Place, make_pruner
from charlm.comparison.search import Range, Values, find_ranges, first_values
from charlm.comparison.tuning import Trial, TrialState, plan_extension
from charlm.config import Config

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

NUM_UNGUIDED_TRIALS = 5
"""Trials that are drawn without regard to the losses of others, the first ones included."""

EXTENSION, DIVERGED = "charlm_is_extension", "charlm_has_diverged"
"""Names of attributes of trials."""


class ArmStudy:
    """The trials of an arm; only one process may draw them.

    Args:
        journal: the file of the study, which is created.
        name: of the study.
        config: of the arm, with the configured values.
        num_trials: how many to draw, without extensions.

    Raises:
        InputError: the journal is damaged, or of another version.
        CharlmError: it cannot be written.
    """

    def __init__(self, journal: Path, name: str, config: Config, num_trials: int) -> None:
        drop_unfinished_line(journal)
        self._journal, self._name, self._config, self._num_trials = journal, name, config, num_trials
        self._ranges = find_ranges(config)
        self._study = open_study(journal, name, pruner=make_pruner(config.train.max_steps))

    @property
    def trials(self) -> list[Trial]:
        """The trials that have been drawn, by number."""
        return [_read(stored) for stored in self._study.trials if stored.params.keys() == self._ranges.keys()]

    def place(self, trial: Trial) -> Place:
        """Return where the process of a trial reports its validations.

        The trials of an extension do not end early: one that did would not show that the best trial lies inside.
        """
        return Place(self._journal, self._name, trial.number - 1, is_prunable=not trial.is_extension)

    def draw(self) -> Trial | None:
        """Add a trial: one of the planned number, then those of extensions; None if there is nothing to add.

        Extensions are planned from the trials that have ended.
        """
        trials = self.trials
        number = len(trials) + 1
        extension = plan_extension(trials) if number > self._num_trials else None
        if number > self._num_trials and extension is None:
            return None
        firsts = first_values(self._config)[: self._num_trials]
        values = firsts[number - 1] if number <= len(firsts) else extension
        with report_full_disk(self._journal), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions of Optuna warn that parts of its sampler are experimental
            self._study.sampler = _make_sampler(self._config.train.seed, number)
            trial = self._begin(number, values, extension is not None)
            for key, searched in self._ranges.items():
                _suggest(trial, key, searched.include(values[key]) if values else searched)
        return self.trials[number - 1]

    def _begin(self, number: int, values: Values | None, is_extension: bool) -> "optuna.Trial":
        """Return a trial without values, which an earlier process may have begun."""
        import optuna

        begun = self._study.trials[number - 1 :]
        if begun and begun[0].state == optuna.trial.TrialState.RUNNING:
            return optuna.Trial(self._study, begun[0]._trial_id)
        if not begun and values is not None:
            self._study.enqueue_trial(values, {EXTENSION: is_extension})
        return self._study.ask()

    def end(self, trial: Trial, end: Outcome | EarlyEnd) -> None:
        """Record how a trial ended."""
        import optuna

        stored = self._study.trials[trial.number - 1]
        with report_full_disk(self._journal):
            if isinstance(end, Outcome):
                self._study.tell(stored.number, end.val_loss_nats)
                return
            if end.reason == "diverged":
                optuna.Trial(self._study, stored._trial_id).set_user_attr(DIVERGED, True)
            self._study.tell(stored.number, state=optuna.trial.TrialState.PRUNED)


def _make_sampler(seed: int, number: int) -> "BaseSampler":
    """Return the sampler of one trial; trials of one number are drawn alike in all arms as long as none is guided."""
    from optuna.samplers import TPESampler

    [own_seed] = numpy.random.SeedSequence([seed, number]).generate_state(1)
    return TPESampler(n_startup_trials=NUM_UNGUIDED_TRIALS, multivariate=True, constant_liar=True, seed=int(own_seed))


def _suggest(trial: "optuna.Trial", key: str, searched: Range) -> None:
    if searched.is_whole:
        trial.suggest_int(key, round(searched.low), round(searched.high))
    else:
        trial.suggest_float(key, searched.low, searched.high, log=searched.is_log)


def _read(stored: "FrozenTrial") -> Trial:
    losses = [stored.value] if stored.value is not None else []
    losses += stored.intermediate_values.values()
    return Trial(
        number=stored.number + 1,
        values=dict(stored.params),
        state=_read_state(stored),
        val_loss_nats=min(losses, default=None),
        is_extension=stored.user_attrs.get(EXTENSION, False),
    )


def _read_state(stored: "FrozenTrial") -> TrialState:
    if not stored.state.is_finished():
        return "unfinished"
    if stored.state.name == "COMPLETE":
        return "complete"
    return "diverged" if stored.user_attrs.get(DIVERGED, False) else "pruned"


def read_trials(journal: Path, name: str) -> list[Trial]:
    """Return the trials of a study; none where there is no journal.

    Raises:
        InputError: the journal is damaged, or of another version.
    """
    if not journal.exists():
        return []
    return [_read(stored) for stored in open_study(journal, name).trials if stored.params]
