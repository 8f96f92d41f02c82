"""The verdicts of a comparison: what decides, what is corrected, and what is said instead of a verdict."""

import pytest

from charlm.comparison.statistics import compare_means, correct_by_holm, find_study_size
from charlm.comparison.verdicts import Contestant, judge

FAR = [[2.0, 2.1, 2.2], [1.0, 1.1, 1.2]]
NEAR = [[2.0, 2.1, 2.2], [1.9, 2.1, 2.15]]


def contest(losses: list[list[float]], **changes: float | bool) -> list[Contestant]:
    """Return the depths 1, 2, ... with given losses; the changes are of the last one."""
    arms = [Contestant(num_layers, values) for num_layers, values in enumerate(losses, 1)]
    return [*arms[:-1], Contestant(len(losses), losses[-1], **changes)]


@pytest.mark.parametrize(
    ("losses", "changes", "verdict"),
    [
        (FAR, {}, "better"),
        (FAR[::-1], {}, "worse"),
        (NEAR, {}, "undecided"),
        ([[2.0], [1.0]], {}, "undecided"),
        (FAR, {"tuning_spread_nats": 1.01}, "within tuning"),
        (FAR, {"tuning_spread_nats": 0.99}, "better"),
        (NEAR, {"tuning_spread_nats": 1.01}, "undecided"),
        (FAR, {"is_at_edge": True}, "edge of search"),
    ],
)
def test_verdict(losses: list[list[float]], changes: dict[str, float | bool], verdict: str) -> None:
    """A depth is better or worse if the seeds decide, the tuning is not coarser, and no search ended at its edge."""
    [[difference]] = judge([contest(losses, **changes)])
    assert difference.verdict == verdict
    assert difference.num_fresh_seeds is None or verdict == "undecided"


def test_all_groups_are_one_family() -> None:
    """A difference that is decided alone is undecided among many, and the correction counts pairs without runs."""
    close = [[2.0, 2.1, 2.2], [1.7, 1.8, 1.9]]
    [[alone]] = judge([contest(close)])
    [[among], *_] = judge([contest(close), contest(NEAR), contest([[1.0], []]), contest([[], []])])
    assert (alone.verdict, among.verdict) == ("better", "undecided")
    assert alone.interval_nats == among.interval_nats
    assert alone.p_value == among.p_value == alone.corrected_p_value
    assert among.corrected_p_value == pytest.approx(4 * among.p_value)


def test_differences_are_those_of_the_statistics() -> None:
    """Every pair of a group has its difference, in units of nats and of standard deviations."""
    losses = [[2.0, 2.1, 2.2], [1.9, 2.1, 2.15], [1.0, 1.4]]
    [differences] = judge([contest(losses)])
    expected = compare_means(losses)
    corrected = correct_by_holm([each.p_value for each in expected])
    assert [(each.from_layers, each.to_layers) for each in differences] == [(1, 2), (1, 3), (2, 3)]
    for difference, gain, p_value in zip(differences, expected, corrected, strict=True):
        assert difference.mean_gain_nats == gain.gain
        assert difference.interval_nats == gain.interval
        assert difference.sd_nats == gain.sd
        assert difference.effect_sd == pytest.approx(gain.gain / gain.sd)
        assert difference.corrected_p_value == p_value


def test_pairs_without_a_run_are_left_out() -> None:
    """A depth without a finished run has no differences, and those of the other groups stay in their group."""
    first, second = judge([contest([[1.0, 1.1], [], [1.0, 1.2]]), contest(FAR)])
    assert [(each.from_layers, each.to_layers) for each in first] == [(1, 3)]
    assert [each.verdict for each in second] == ["better"]


def test_spreads_of_the_tuning_add_up() -> None:
    """Each of two depths could have had the loss of another of its best trials."""
    arms = [Contestant(1, FAR[0], 0.25), Contestant(2, FAR[1], 0.125), Contestant(3, FAR[1])]
    [differences] = judge([arms])
    assert [each.tuning_spread_nats for each in differences] == [0.375, 0.25, 0.125]


def test_undecided_differences_name_a_fresh_study() -> None:
    """The study has as many depths and comparisons as the report; a decided difference needs none."""
    [[open_one], [decided]] = judge([contest([FAR[0], [1.95, 2.0, 2.05]]), contest(FAR)])
    assert open_one.effect_sd is not None
    assert open_one.num_fresh_seeds == find_study_size(open_one.effect_sd, 2, 2)
    assert open_one.num_fresh_seeds is not None
    assert decided.num_fresh_seeds is None
