"""The results of a comparison: the content of results.json, computed from the runs.

The schema of the file, with the meaning of every value, is docs/results.schema.json.
"""

import math
import platform
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field

from charlm.comparison.arms import UNITS, Arm, Match
from charlm.comparison.experiment import ArmOutcome
from charlm.comparison.outcome import Finding, Outcome
from charlm.comparison.plan import Plan
from charlm.comparison.search import Values, configured_values
from charlm.comparison.statistics import CONFIDENCE
from charlm.comparison.tuning import TrialState, find_edge, measure_spread
from charlm.comparison.verdicts import Contestant, Difference, judge
from charlm.system.version import __version__

Loss = Literal["test", "val"]


class TrialFindings(Finding):
    """One trial of an arm's tuning."""

    number: int = Field(description="Counted from 1, as in the name of its directory.")
    values: dict[str, float] = Field(description="The tuned values, by configuration key.")
    state: TrialState = Field(
        description="complete; pruned: ended early, since its validation losses were above the median of others; "
        "diverged: a loss or gradient was not finite; unfinished: not ended yet."
    )
    is_extension: bool = Field(description="Whether it was made because the best learning rate was at an edge.")
    val_loss_nats: float | None = Field(description="Lowest validation loss; null before the first validation.")


class ArmFindings(Finding):
    """One depth at one budget."""

    num_layers: int = Field(description="LSTM layers.")
    hidden_size: int = Field(description="Width of every layer, the closest to the budget.")
    parameters: dict[str, int] = Field(description="Trained parameters of each part.")
    num_parameters: int = Field(description="Trained parameters of all parts.")
    num_products: int = Field(description="Multiply-adds of the forward pass per character.")
    mismatch: float = Field(description="Relative difference of the arm to the budget; positive if larger.")
    values: dict[str, float] | None = Field(
        description="Values of the runs by configuration key, the tuned ones or those that tuning would search; "
        "null if no trial is complete."
    )
    best_trial: int | None = Field(description="Number of the trial whose values the runs have; null without one.")
    trials: list[TrialFindings] = Field(description="The trials of the tuning; empty without tuning.")
    edge: Literal["lowest", "highest"] | None = Field(
        description="At which edge of the tried learning rates the best trial is; null if it lies inside, and without "
        "tuning."
    )
    best_trials_spread_nats: float | None = Field(
        description="Validation loss of the third-best complete trial minus that of the best, or of the second-best; "
        "null for fewer than two complete trials."
    )
    runs: list[Outcome] = Field(description="The finished runs, one for each seed.")
    failures: dict[str, str] = Field(description="Why a run or trial did not finish, by the name of its directory.")
    mean_loss_nats: float | None = Field(description="Mean over the runs; null where there are none.")
    sd_loss_nats: float | None = Field(description="Standard deviation over the runs; null for fewer than two.")
    mean_bits: float | None = Field(description="The mean loss in bits per character, or per byte in byte mode.")
    perplexity: float | None = Field(description="e to the mean loss.")


class Group(Finding):
    """The depths at one budget and length."""

    num_chars: int = Field(description="Characters that every run trains on, repetitions counted.")
    budget: int = Field(description="Requested amount of the matched quantity.")
    arms: list[ArmFindings]
    differences: list[Difference] = Field(description="Of every pair of depths that both have a finished run.")


class Results(Finding):
    """All that a comparison found."""

    version: Literal[2] = Field(2, description="Version of this layout.")
    command: str = Field(description="The command line.")
    match: Match = Field(description="The quantity that is equal for all depths of a group.")
    loss: Loss = Field(description="The part of the text whose loss is compared, on the best weights by validation.")
    confidence: float = Field(CONFIDENCE, description="Confidence level of the intervals.")
    seeds: list[int] = Field(description="Every arm is trained once under each.")
    num_comparisons: int = Field(description="Pairs of depths in all groups, for which the verdicts are corrected.")
    num_trials: int = Field(description="Trials that each arm was tuned with, without extensions; 0 for none.")
    baselines_bits: dict[str, float] = Field(description="Bits per character of simple predictors on the val part.")
    groups: list[Group]
    config: dict[str, Any] = Field(description="The common configuration of all runs.")
    corpus_digest: str = Field(description="SHA-256 of the text, without its name.")
    versions: dict[str, str] = Field(description="Versions of charlm, Python and torch, and the processor.")


def name_group(results: Results, group: Group) -> str:
    """Return the budget of a group, and its length where there are several."""
    lengths = {each.num_chars for each in results.groups}
    length = f", {group.num_chars:,} characters" if len(lengths) > 1 else ""
    return f"{group.budget:,} {UNITS[results.match]}{length}"


def summarize(plan: Plan, outcomes: Sequence[ArmOutcome], command: str) -> Results:
    """Return the findings of the runs that are there.

    Args:
        plan: what was to be trained.
        outcomes: the results of each arm.
        command: what was run, as a person would type it.
    """
    loss: Loss = "test" if plan.has_test else "val"
    finished = [run for outcome in outcomes for run in outcome.runs.values()]
    groups = _summarize_groups(plan, outcomes, loss)
    return Results(
        command=command,
        match=plan.arms[0].match,
        loss=loss,
        seeds=plan.seeds,
        num_comparisons=sum(math.comb(len(group.arms), 2) for group in groups),
        num_trials=plan.num_trials,
        baselines_bits=finished[0].baselines_bits if finished else {},
        groups=groups,
        config=plan.config.model_dump(),
        corpus_digest=plan.corpus_digest,
        versions=describe_versions(),
    )


def describe_versions() -> dict[str, str]:
    """Return the versions of charlm, Python and torch, and the processor with its instruction set."""
    return {
        "charlm": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def _summarize_groups(plan: Plan, outcomes: Sequence[ArmOutcome], loss: Loss) -> list[Group]:
    arms: dict[tuple[int, int], list[ArmFindings]] = {}
    for outcome in outcomes:
        key = plan.count_chars(outcome.arm), outcome.arm.budget
        configured = None if plan.num_trials else configured_values(plan.configure(outcome.arm))
        arms.setdefault(key, []).append(_summarize_arm(outcome, configured, loss))
    differences = judge([[_enter(arm, loss) for arm in group] for group in arms.values()])
    return [
        Group(num_chars=num_chars, budget=budget, arms=group, differences=pairs)
        for ((num_chars, budget), group), pairs in zip(arms.items(), differences, strict=True)
    ]


def _enter(arm: ArmFindings, loss: Loss) -> Contestant:
    return Contestant(
        arm.num_layers, _losses(arm.runs, loss), arm.best_trials_spread_nats, is_at_edge=arm.edge is not None
    )


def _summarize_arm(outcome: ArmOutcome, configured: Values | None, loss: Loss) -> ArmFindings:
    arm: Arm = outcome.arm
    losses = _losses(list(outcome.runs.values()), loss)
    mean = statistics.fmean(losses) if losses else None
    return ArmFindings(
        num_layers=arm.num_layers,
        hidden_size=arm.hidden_size,
        parameters=arm.parts,
        num_parameters=arm.num_parameters,
        num_products=arm.num_macs,
        mismatch=arm.mismatch,
        values=outcome.best.values if outcome.best else configured,
        best_trial=outcome.best.number if outcome.best else None,
        trials=[TrialFindings(**vars(trial)) for trial in outcome.trials],
        edge=find_edge(outcome.trials),
        best_trials_spread_nats=measure_spread(outcome.trials),
        runs=list(outcome.runs.values()),
        failures=outcome.failures,
        mean_loss_nats=mean,
        sd_loss_nats=statistics.stdev(losses) if len(losses) > 1 else None,
        mean_bits=mean / math.log(2) if mean is not None else None,
        perplexity=math.exp(mean) if mean is not None else None,
    )


def _losses(runs: Sequence[Outcome], loss: Loss) -> list[float]:
    """Return the losses that are compared."""
    losses = [run.test_loss_nats if loss == "test" else run.val_loss_nats for run in runs]
    return [value for value in losses if value is not None]
