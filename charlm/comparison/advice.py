"""The advice at the end of a report: which depth to take, in one sentence for each group, and how sure that is."""

from charlm.comparison.arms import UNITS
from charlm.comparison.results import ArmFindings, Group, Results
from charlm.comparison.verdict_report import count_layers, format_p_value
from charlm.comparison.verdicts import Difference


def advise(results: Results) -> list[str]:
    """Return one sentence for each group of depths."""
    return [
        f"For texts like {results.config['data']['path']}, {group.num_chars:,} characters of training and about "
        f"{group.budget:,} {UNITS[results.match]}: {_advise(group)}"
        + ("" if results.num_trials else " Nothing was tuned, so this holds for these settings alone (--tune).")
        for group in results.groups
    ]


def _advise(group: Group) -> str:
    arms = sorted((arm for arm in group.arms if arm.runs), key=lambda arm: arm.num_layers)
    if not any(difference.p_value is not None for difference in group.differences):
        return "no advice, because there are not enough runs to compare depths."
    if edges := [count_layers(arm.num_layers) for arm in arms if arm.edge]:
        return f"no advice, because the tuning ended at the edge of its search for {' and '.join(edges)}."
    wins = find_wins(group.differences)
    choice = _choose(arms, wins)
    reasons = [_describe_win(loser, win) for (winner, loser), win in wins.items() if winner == choice.num_layers]
    name = f"{count_layers(choice.num_layers)} of {choice.hidden_size}"
    if reasons:
        rest = "" if find_winner(group) == choice.num_layers else " No other depth was measurably better."
        return f"take {name}: {', and '.join(reasons)}.{rest}"
    return (
        f"take {name}: it is the simplest, and no other depth was measurably better. By the 95 % intervals "
        f"another depth gains at most {_find_bound(choice.num_layers, group.differences):.4f} nats."
    )


Wins = dict[tuple[int, int], Difference]
"""The decided differences, by the depths that won and lost."""


def find_winner(group: Group) -> int | None:
    """Return the depth that is better than every other one of a group; None if there is none."""
    wins, depths = find_wins(group.differences), {arm.num_layers for arm in group.arms}
    winners = [depth for depth in depths if all((depth, other) in wins for other in depths - {depth})]
    return winners[0] if winners and len(depths) > 1 else None


def find_wins(differences: list[Difference]) -> Wins:
    """Return the decided differences."""
    better = {(each.to_layers, each.from_layers): each for each in differences if each.verdict == "better"}
    worse = {(each.from_layers, each.to_layers): each for each in differences if each.verdict == "worse"}
    return better | worse


def _choose(arms: list[ArmFindings], wins: Wins) -> ArmFindings:
    """Return the simplest arm, or of those that are better than it the simplest that none of them beats.

    Args:
        arms: by depth.
        wins: the decided differences.
    """
    simplest = arms[0].num_layers
    able = [arm for arm in arms if arm.num_layers == simplest or (arm.num_layers, simplest) in wins]
    return next(arm for arm in able if not any((other.num_layers, arm.num_layers) in wins for other in able))


def _describe_win(loser: int, win: Difference) -> str:
    low, high = sorted(abs(bound) for bound in win.interval_nats or ())
    return (
        f"the loss is {abs(win.mean_gain_nats):.4f} nats lower than with {count_layers(loser)} (95 % "
        f"interval {low:.4f} to {high:.4f}; corrected {format_p_value(win.corrected_p_value or 0.0)})"
    )


def _find_bound(num_layers: int, differences: list[Difference]) -> float:
    """Return the largest gain over a depth that lies in an interval, at least 0."""
    gains = [
        interval[1] if each.from_layers == num_layers else -interval[0]
        for each in differences
        if num_layers in (each.from_layers, each.to_layers) and (interval := each.interval_nats)
    ]
    return max(0.0, *gains) if gains else 0.0
