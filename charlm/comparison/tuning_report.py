"""The part of a report about the tuning: how it was done, its trials, and the arms whose search is not at its end."""

from charlm.comparison.pruning import FULL_FRAC, NUM_FULL_TRIALS
from charlm.comparison.results import ArmFindings, Group, Results, TrialFindings, name_group
from charlm.comparison.search import RATE, SEARCHED
from charlm.comparison.table import format_table
from charlm.comparison.tuning import EDGE_FACTOR, EXTENSION_FACTOR, MAX_EXTENSIONS, NUM_BEST_TRIALS

MARKS = {"complete": "", "pruned": "pruned", "diverged": "diverged", "unfinished": "not finished"}
"""What the table of trials says about each state."""


def describe_tuning(results: Results) -> str:
    """Return how the values of the runs were chosen."""
    train, model = results.config["train"], results.config["model"]
    if not results.num_trials:
        return (
            f"Nothing was tuned: every arm has learning rate {train['learning_rate']:g} and dropout "
            f"{model['dropout']:g}, which may suit one depth better than another (--tune)."
        )
    return (
        f"{', '.join(SEARCHED.values())} were tuned for each arm by {results.num_trials} trials under a seed that no "
        "run has; the trial with the lowest validation loss gives the values of the runs."
    )


def format_tuning(results: Results) -> list[str]:
    """Return the section with all trials; nothing without tuning."""
    if not results.num_trials:
        return []
    return [
        "## The trials",
        f"Every arm has {results.num_trials} trials, drawn by Optuna's TPE sampler between the ranges of Optuna's "
        "journal, tuning/*.journal; the first one has the configured values, the next two other learning rates. A "
        f"trial ends early (pruned) from {FULL_FRAC:.0%} of its steps on if its validation losses are above the median "
        f"of the complete trials, of which there must be {NUM_FULL_TRIALS}. Where no trial has a learning rate beyond "
        f"that of the best one (by a factor of {EDGE_FACTOR:.2f}; pruned trials do not count), further trials follow, "
        f"each {EXTENSION_FACTOR:.2f} times further out and none of them pruned, at most {MAX_EXTENSIONS} for an arm "
        f"(extension). The spread is the loss of the trial in place {NUM_BEST_TRIALS} minus the best: a difference of "
        "depths that is smaller says nothing.",
        *(part for group in results.groups for part in _format_group(results, group)),
    ]


def _format_group(results: Results, group: Group) -> list[str]:
    titles = ["layers", "trial", *SEARCHED.values(), "val loss", ""]
    rows = [
        _format_trial(arm, trial)
        for arm in group.arms
        for trial in sorted(arm.trials, key=lambda trial: trial.values[RATE])
    ]
    spreads = [
        f"{arm.num_layers} deep {arm.best_trials_spread_nats:.4f}"
        for arm in group.arms
        if arm.best_trials_spread_nats is not None
    ]
    table = format_table(titles, rows) if rows else "No trial has begun."
    spread = [f"Spread of the best trials, in nats: {', '.join(spreads)}."] if spreads else []
    return [f"### {name_group(results, group)}", table, *spread]


def _format_trial(arm: ArmFindings, trial: TrialFindings) -> list[str]:
    notes = ["best"] if trial.number == arm.best_trial else []
    notes += [MARKS[trial.state]] if MARKS[trial.state] else []
    notes += ["extension"] if trial.is_extension else []
    return [
        f"{arm.num_layers}",
        f"{trial.number}",
        *(f"{trial.values[key]:.3g}" for key in SEARCHED),
        "–" if trial.val_loss_nats is None else f"{trial.val_loss_nats:.4f}",
        ", ".join(notes),
    ]


def describe_edges(group: Group) -> list[str]:
    """Name the arms whose best learning rate is at an edge of those that were tried."""
    return [
        f"**No verdict on depth {arm.num_layers}**: its best learning rate, {arm.values[RATE]:.3g}, is the {arm.edge} "
        "that was tried, so that a better one may lie beyond. Start anew with a train.learning_rate near it."
        for arm in group.arms
        if arm.edge and arm.values
    ]
