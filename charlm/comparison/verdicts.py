"""The verdicts of a comparison: the differences of all pairs of depths, corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from pydantic import Field

from charlm.comparison.outcome import Finding
from charlm.comparison.statistics import (
    ALPHA,
    MeanDifference,
    compare_means,
    correct_by_holm,
    find_study_size,
)

Verdict = Literal["better", "worse", "undecided", "within tuning", "edge of search"]
"""What is said about the second depth of a pair."""


class Difference(Finding):
    """How much lower the mean loss of one depth is than that of another in the same group."""

    from_layers: int = Field(description="The depth that the other is compared with.")
    to_layers: int = Field(description="The other depth.")
    mean_gain_nats: float = Field(
        description="Mean loss of the first minus mean loss of the other; positive where the other depth is better."
    )
    interval_nats: tuple[float, float] | None = Field(
        description="Confidence interval of the gain by Student's t, not corrected for the number of comparisons; null "
        "where no depth has two runs."
    )
    sd_nats: float | None = Field(
        description="Standard deviation over seeds, pooled over all depths of the group, or over the two where that is "
        "larger; null where no depth has two runs."
    )
    effect_sd: float | None = Field(description="The gain in units of that standard deviation.")
    tuning_spread_nats: float | None = Field(
        description="How far the best trials of the tuning are apart, the sum of the two depths; null without tuning."
    )
    p_value: float | None = Field(description="Of the gain, two-sided, not corrected.")
    corrected_p_value: float | None = Field(description="Corrected by Holm for all comparisons of the report.")
    verdict: Verdict = Field(
        description="On the other depth: better or worse; undecided: the corrected p-value is 5 % or more; within "
        "tuning: decided by the seeds, but smaller than that sum; edge of search: the tuning of one of "
        "the two ended at the edge of its range."
    )
    num_fresh_seeds: int | None = Field(
        description="Seeds for each depth of a new study that would find a true difference of this size in 80 % of "
        "cases; null for other verdicts than undecided, and if more than 100 were needed."
    )


@dataclass(frozen=True)
class Contestant:
    """One arm, as far as its verdicts need it.

    Attributes:
        num_layers: its depth.
        losses_nats: of its finished runs.
        tuning_spread_nats: how far its best trials are apart; None without tuning.
        is_at_edge: whether its tuning ended at the edge of its range.
    """

    num_layers: int
    losses_nats: Sequence[float]
    tuning_spread_nats: float | None = None
    is_at_edge: bool = False


def judge(groups: Sequence[Sequence[Contestant]]) -> list[list[Difference]]:
    """Return the differences of every group, for each pair of depths that both have a finished run.

    All pairs count as comparisons of the report, those without a finished run too, so that the verdicts of a comparison
    that is under way do not become weaker as its runs end.

    Args:
        groups: the depths that are compared with each other.
    """
    gains = [compare_means([arm.losses_nats for arm in group]) for group in groups]
    p_values = [1.0 if gain is None or gain.p_value is None else gain.p_value for pairs in gains for gain in pairs]
    corrected = iter(correct_by_holm(p_values))
    judged = [
        [(pair, gain, next(corrected)) for pair, gain in zip(combinations(group, 2), pairs, strict=True)]
        for group, pairs in zip(groups, gains, strict=True)
    ]
    return [
        [_describe(gain, *pair, p_value, len(group), len(p_values)) for pair, gain, p_value in pairs if gain]
        for group, pairs in zip(groups, judged, strict=True)
    ]


def _describe(
    gain: MeanDifference,
    first: Contestant,
    second: Contestant,
    corrected_p_value: float,
    num_arms: int,
    num_comparisons: int,
) -> Difference:
    effect = gain.gain / gain.sd if gain.sd else None
    spreads = [arm.tuning_spread_nats for arm in (first, second) if arm.tuning_spread_nats is not None]
    spread = sum(spreads) if spreads else None
    is_at_edge = first.is_at_edge or second.is_at_edge
    verdict = _find_verdict(gain.gain, corrected_p_value < ALPHA, spread, is_at_edge)
    return Difference(
        from_layers=first.num_layers,
        to_layers=second.num_layers,
        mean_gain_nats=gain.gain,
        interval_nats=gain.interval,
        sd_nats=gain.sd,
        effect_sd=effect,
        tuning_spread_nats=spread,
        p_value=gain.p_value,
        corrected_p_value=None if gain.p_value is None else corrected_p_value,
        verdict=verdict,
        num_fresh_seeds=find_study_size(effect, num_arms, num_comparisons)
        if effect and verdict == "undecided"
        else None,
    )


def _find_verdict(gain: float, is_decided: bool, tuning_spread: float | None, is_at_edge: bool) -> Verdict:
    if is_at_edge:
        return "edge of search"
    if not is_decided:
        return "undecided"
    if tuning_spread is not None and abs(gain) < tuning_spread:
        return "within tuning"
    return "better" if gain > 0 else "worse"
