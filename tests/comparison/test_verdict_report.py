"""The verdicts in words: each kind of verdict, its evidence, and what the intervals cover."""

from typing import Any

import pytest

from charlm.comparison.results import Results
from charlm.comparison.verdict_report import describe_difference, describe_statistics
from charlm.comparison.verdicts import Difference

DECIDED = Difference(
    from_layers=1,
    to_layers=2,
    mean_gain_nats=0.03,
    interval_nats=(0.01, 0.05),
    sd_nats=0.02,
    effect_sd=1.5,
    tuning_spread_nats=None,
    p_value=0.004,
    corrected_p_value=0.012,
    verdict="better",
    num_fresh_seeds=None,
)
EVIDENCE = "95 % interval +0.0100 to +0.0500; +1.5 sd; corrected p = 0.012"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, f"- 2 layers **beat** 1 layer: loss lower by 0.0300 nats ({EVIDENCE})."),
        (
            {"mean_gain_nats": -0.03, "verdict": "worse", "corrected_p_value": 0.0004},
            "- 2 layers **lose to** 1 layer: loss higher by 0.0300 nats (95 % interval +0.0100 to +0.0500; +1.5 sd; "
            "corrected p < 0.001).",
        ),
        (
            {"verdict": "undecided", "num_fresh_seeds": 8},
            f"- **Undecided**: 2 layers against 1 layer, gain +0.0300 nats ({EVIDENCE}). A fresh study under 8 new "
            "seeds, 4 to 11, would find a true difference of this size in 80 % of cases.",
        ),
        (
            {"verdict": "undecided"},
            f"- **Undecided**: 2 layers against 1 layer, gain +0.0300 nats ({EVIDENCE}). To find a true difference of "
            "this size, a fresh study would need more than 100 seeds.",
        ),
        (
            {"verdict": "within tuning", "tuning_spread_nats": 0.04},
            f"- **Nobody's finding**: 2 layers against 1 layer, gain +0.0300 nats ({EVIDENCE}; best trials 0.0400 nats "
            "apart). It is smaller than what the best trials of the tuning differ by.",
        ),
        (
            {"verdict": "edge of search"},
            f"- **No verdict**: 2 layers against 1 layer, gain +0.0300 nats ({EVIDENCE}). The tuning of one of the two "
            "ended at the edge of its search.",
        ),
        (
            {"interval_nats": None, "verdict": "undecided"},
            "- **Undecided**: 2 layers against 1 layer, gain +0.0300 nats; without a second run of a depth there is no "
            "estimate of chance.",
        ),
    ],
)
def test_difference_in_words(changes: dict[str, Any], text: str) -> None:
    """Every verdict has its words and its evidence."""
    assert describe_difference(DECIDED.model_copy(update=changes), [3, 1, 2]) == text


@pytest.mark.parametrize(
    ("seeds", "said"), [([1, 2], "train a fresh study under new seeds"), ([1], "nothing can be concluded")]
)
def test_statistics_in_words(seeds: list[int], said: str) -> None:
    """The report says how verdicts are corrected, what intervals cover and what they do not, and what to do next."""
    text = "\n".join(describe_statistics(Results.model_construct(seeds=seeds, num_comparisons=9)))
    assert "Holm's correction for all comparisons of this report, 9 in number" in text
    assert "cover what a seed draws: the initial weights, dropout" in text
    assert "do not cover the text, its order, which is the same in all runs, or the tuning" in text
    assert said in text
    assert "more seeds would decide" not in text


def test_one_depth_has_no_statistics() -> None:
    """Where nothing is compared, nothing is said about comparisons."""
    assert describe_statistics(Results.model_construct(seeds=[1, 2], num_comparisons=0)) == []
