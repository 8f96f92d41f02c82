"""The part of a report about verdicts: how they are reached, what they cover, and each difference in words."""

from charlm.comparison.results import Results
from charlm.comparison.statistics import MAX_SEEDS
from charlm.comparison.verdicts import Difference


def describe_statistics(results: Results) -> list[str]:
    """Return how the verdicts of a report are reached, and what its intervals cover; nothing for one depth."""
    if not results.num_comparisons:
        return []
    paragraphs = [
        f"A difference is that of two means over seeds, with its 95 % interval by Student's t. The sd is "
        "pooled over all depths of a budget, or over the two where that is larger. A verdict needs more than an "
        f"interval without zero: a p-value below 5 % after Holm's correction for all comparisons of this "
        f"report, {results.num_comparisons} in number. So the probability of any false verdict is at most 5 %.",
        "The intervals cover what a seed draws: the initial weights, dropout and the resets of the state. They do not "
        "cover the text, its order, which is the same in all runs, or the tuning.",
    ]
    if len(results.seeds) < 2:
        return [
            *paragraphs,
            "**One seed gives no estimate of chance: nothing can be concluded from these differences.**",
        ]
    return [
        *paragraphs,
        "To decide more, train a fresh study under new seeds and judge it alone. Seeds that are added to these until "
        "a verdict falls make false verdicts more frequent (docs/statistics.md).",
    ]


def describe_difference(difference: Difference, seeds: list[int]) -> str:
    """Return a difference and its verdict as an item of a list.

    Args:
        difference: of two depths.
        seeds: those of the comparison; a fresh study has others.
    """
    first, second = count_layers(difference.from_layers), count_layers(difference.to_layers)
    if difference.interval_nats is None:
        return (
            f"- **Undecided**: {second} against {first}, gain {difference.mean_gain_nats:+.4f} nats; without a second "
            "run of a depth there is no estimate of chance."
        )
    evidence = _describe_evidence(difference)
    if difference.verdict in ("better", "worse"):
        verb, word = ("beat", "lower") if difference.verdict == "better" else ("lose to", "higher")
        size = f"loss {word} by {abs(difference.mean_gain_nats):.4f} nats"
        return f"- {second} **{verb}** {first}: {size} ({evidence})."
    pair = f"{second} against {first}, gain {difference.mean_gain_nats:+.4f} nats ({evidence})"
    if difference.verdict == "within tuning":
        return f"- **Nobody's finding**: {pair}. It is smaller than what the best trials of the tuning differ by."
    if difference.verdict == "edge of search":
        return f"- **No verdict**: {pair}. The tuning of one of the two ended at the edge of its search."
    return f"- **Undecided**: {pair}. {_recommend_study(difference.num_fresh_seeds, max(seeds) + 1)}"


def count_layers(num_layers: int) -> str:
    """Return a number of layers in words."""
    return "1 layer" if num_layers == 1 else f"{num_layers} layers"


def _describe_evidence(difference: Difference) -> str:
    parts = []
    if difference.interval_nats is not None:
        parts.append(f"95 % interval {difference.interval_nats[0]:+.4f} to {difference.interval_nats[1]:+.4f}")
    if difference.effect_sd is not None:
        parts.append(f"{difference.effect_sd:+.1f} sd")
    if difference.corrected_p_value is not None:
        parts.append(f"corrected {format_p_value(difference.corrected_p_value)}")
    if difference.tuning_spread_nats is not None:
        parts.append(f"best trials {difference.tuning_spread_nats:.4f} nats apart")
    return "; ".join(parts)


def format_p_value(p_value: float) -> str:
    """Return a p-value in three decimals."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _recommend_study(num_seeds: int | None, first_seed: int) -> str:
    if num_seeds is None:
        return f"To find a true difference of this size, a fresh study would need more than {MAX_SEEDS} seeds."
    return (
        f"A fresh study under {num_seeds} new seeds, {first_seed} to {first_seed + num_seeds - 1}, would find a true "
        f"difference of this size in 80 % of cases."
    )
