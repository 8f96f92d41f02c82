"""The order of the trials and runs of a comparison, and how many there are.

The cheapest group of arms comes first, with all of its trials and runs, so that a comparison that was stopped is a
smaller whole one. Within a group the arms take turns with their trials; then come the runs, seed by seed.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from charlm.comparison.arm_agenda import ArmAgenda
from charlm.comparison.arms import Arm
from charlm.comparison.plan import Plan, Run
from charlm.comparison.pruning import Place


class Agenda:
    """What is left to train in a comparison.

    Args:
        plan: what to train.
        directory: of the comparison.
        num_jobs: how many trials and runs are trained at a time.

    Raises:
        InputError: the journal of a study is damaged, or of another version.
    """

    def __init__(self, plan: Plan, directory: Path, num_jobs: int) -> None:
        self._seeds = plan.seeds
        self._groups: list[list[ArmAgenda]] = []
        self._arms: dict[str, ArmAgenda] = {}
        self._owners: dict[str, ArmAgenda] = {}
        num_arms = len({plan.name(arm) for arm in plan.arms})
        max_parallel_trials = max(1, num_jobs // max(1, num_arms))  # a share of few arms may have none
        for group in order_groups(plan.arms):
            names = {plan.name(arm): arm for arm in group if plan.name(arm) not in self._arms}  # each name once
            arms = {name: ArmAgenda(plan, arm, directory, max_parallel_trials) for name, arm in names.items()}
            self._groups.append(list(arms.values()))
            self._arms |= arms

    @property
    def num_tasks(self) -> int:
        """The number of trials and runs, finished ones included; extensions count from when they are drawn."""
        return sum(arm.num_tasks for arm in self._arms.values())

    @property
    def num_finished(self) -> int:
        """The number of trials and runs that are finished."""
        return sum(arm.num_finished for arm in self._arms.values())

    @property
    def num_left(self) -> dict[str, int]:
        """The number of trials and runs of each arm, by its name, that have neither finished nor failed."""
        return {name: arm.num_left for name, arm in self._arms.items()}

    def next(self) -> tuple[Run, Place | None] | None:
        """Return the next trial or run to train, a trial with its place; None if others must end first, or all have.

        Raises:
            InputError: the directory of a trial holds another run.
        """
        for group in self._groups:
            for arm in sorted(group, key=lambda arm: arm.num_begun_trials):
                if trial := arm.next_trial():
                    self._owners[trial[0].name] = arm
                    return trial
            for seed in self._seeds:
                for arm in group:
                    if run := arm.next_run(seed):
                        self._owners[run.name] = arm
                        return run, None
        return None

    def end(self, run: Run, is_failed: bool) -> None:
        """Record that a trial or run that ``next`` returned is no longer under way."""
        self._owners.pop(run.name).end(run, is_failed)


def order_groups(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Return the arms of each length and budget, those with the least computation first."""
    groups = [list(group) for _, group in groupby(arms, lambda arm: (arm.num_chars, arm.budget))]
    return sorted(groups, key=lambda group: sum(arm.num_macs * (arm.num_chars or 1) for arm in group))
