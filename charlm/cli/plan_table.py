"""The plan and the progress of a comparison as compare-layers prints them."""

from charlm.cli.tables import format_duration
from charlm.comparison.arms import UNITS
from charlm.comparison.plan import Plan
from charlm.comparison.table import format_table
from charlm.comparison.work import Progress


def format_plan(plan: Plan) -> str:
    """Return the arms of a comparison with their sizes, part by part."""
    unit = UNITS[plan.arms[0].match]
    titles = ["budget", "layers", "width", "embedding", "LSTM", "output", "parameters", "MACs", "off budget"]
    rows = [
        [
            f"{number:,}"
            for number in (arm.budget, arm.num_layers, arm.hidden_size, *arm.parts.values(), arm.num_parameters)
        ]
        + [f"{arm.num_macs:,}", f"{arm.mismatch:+.2%}"]
        for arm in plan.arms
    ]
    tuning = f"tuned with {plan.num_trials} trials an arm" if plan.num_trials else "not tuned"
    num_arms = "1 arm" if len(plan.arms) == 1 else f"{len(plan.arms)} arms"
    if plan.arms[0].num_chars:
        titles.insert(0, "characters")
        rows = [[f"{plan.count_chars(arm):,}", *row] for arm, row in zip(plan.arms, rows, strict=True)]
    return "\n".join(
        [
            f"Depths matched by {plan.arms[0].match}: the budget counts {unit}; embedding, LSTM and output are "
            "parameters; MACs are multiply-accumulate operations per character.",
            format_table(titles, rows),
            f"{num_arms}, seeds {', '.join(map(str, plan.seeds))}, {tuning}.",
        ]
    )


def format_progress(progress: Progress) -> str:
    """Return a line about what has just ended, and how much is left in how much time."""
    left = f"about {format_duration(progress.left_s)} left, validations included"
    ending = progress.ending
    if ending is None:
        return f"{progress.num_tasks} trials and runs, {progress.num_finished} of them finished; {left}."
    end = (
        f"failed after {ending.duration_s:.0f} s: {ending.failure}"
        if ending.failure
        else f"done after {ending.duration_s:.0f} s"
    )
    return f"[{progress.num_finished}/{progress.num_tasks}] {ending.name} {end}; {left}"
