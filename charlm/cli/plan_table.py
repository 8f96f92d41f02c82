"""The plan of a comparison as compare-layers prints it."""

from charlm.comparison.arms import UNITS
from charlm.comparison.plan import Plan
from charlm.comparison.table import format_table


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
    return "\n".join(
        [
            f"Depths matched by {plan.arms[0].match}: the budget counts {unit}; embedding, LSTM and output are "
            "parameters; MACs are multiply-accumulate operations per character.",
            format_table(titles, rows),
            f"{num_arms}, seeds {', '.join(map(str, plan.seeds))}, {tuning}.",
        ]
    )
