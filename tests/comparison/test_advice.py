"""The advice: the simplest depth that is not beaten, how sure that is, and when there is none."""

from collections.abc import Sequence
from typing import Literal

import pytest

from charlm.comparison.advice import advise
from charlm.comparison.outcome import Outcome
from charlm.comparison.results import ArmFindings, Group, Results
from charlm.comparison.statistics import compare_means
from charlm.comparison.verdicts import Contestant, judge

GOOD, MIDDLE, BAD = [1.0, 1.01, 1.02], [1.1, 1.11, 1.12], [1.2, 1.21, 1.22]


def advise_on(
    losses: Sequence[list[float]],
    edge: Literal["lowest", "highest"] | None = None,
    num_trials: int = 5,
    is_reversed: bool = False,
) -> str:
    """Return the advice on the depths 1, 2, ... with given losses; the edge is that of the last one.

    Reversed depths are compared from the deepest on, as after ``--layers 2,1``.
    """
    arms = [
        ArmFindings.model_construct(
            num_layers=num_layers,
            hidden_size=100 - 10 * num_layers,
            edge=edge if num_layers == len(losses) else None,
            runs=[Outcome.model_construct(test_loss_nats=value) for value in values],
        )
        for num_layers, values in enumerate(losses, 1)
    ]
    if is_reversed:
        arms, losses = arms[::-1], losses[::-1]
    [differences] = judge(
        [
            [
                Contestant(arm.num_layers, values, None, arm.edge is not None)
                for arm, values in zip(arms, losses, strict=True)
            ]
        ]
    )
    group = Group.model_construct(num_chars=5000, budget=4000, arms=arms[::-1], differences=differences)
    [sentence] = advise(
        Results.model_construct(
            match="parameters",
            num_trials=num_trials,
            groups=[group],
            config={"data": {"path": "a.txt"}},
        )
    )
    start = "For texts like a.txt, 5,000 characters of training and about 4,000 parameters: "
    assert sentence.startswith(start)
    return sentence.removeprefix(start)


@pytest.mark.parametrize(
    ("losses", "name", "beaten"),
    [
        ([BAD, GOOD], "2 layers of 80", ["1 layer"]),
        ([GOOD, BAD], "1 layer of 90", ["2 layers"]),
        ([BAD, MIDDLE, GOOD], "3 layers of 70", ["1 layer", "2 layers"]),
        ([BAD, GOOD, GOOD], "2 layers of 80", ["1 layer"]),
        ([BAD, [1.18, 1.19, 1.2], [1.17, 1.18, 1.19]], "3 layers of 70", ["1 layer"]),  # 2 layers beat nobody
        ([GOOD, BAD, BAD], "1 layer of 90", ["2 layers", "3 layers"]),
        ([[], BAD, GOOD], "3 layers of 70", ["2 layers"]),
    ],
)
def test_depth(losses: list[list[float]], name: str, beaten: list[str]) -> None:
    """The advised depth is the simplest, or beats the simplest; what it beats is said with interval and p-value."""
    advice = advise_on(losses)
    assert advice.startswith(f"take {name}: the loss is ")
    for other in ("1 layer", "2 layers", "3 layers"):
        assert (f"nats lower than with {other} (95 % interval 0." in advice) == (other in beaten)
    assert advice.count("corrected p") == len(beaten)
    assert advice.endswith(" No other depth was measurably better.") == (len(beaten) < len(losses) - 1)


@pytest.mark.parametrize("losses", [[[1.0, 1.1, 1.2], [1.05, 1.15, 1.2]], [[1.05, 1.15, 1.2], [1.0, 1.1, 1.2]]])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_nothing_is_decided(losses: list[list[float]], is_reversed: bool) -> None:
    """Without a verdict the simplest depth is advised, with the largest gain that the intervals leave possible."""
    [difference] = compare_means(losses)
    assert advise_on(losses, is_reversed=is_reversed) == (
        "take 1 layer of 90: it is the simplest, and no other depth was measurably better. By the 95 % intervals "
        f"another depth gains at most {difference.interval[1]:.4f} nats."
    )


@pytest.mark.parametrize("losses", [[[1.0], [2.0]], [[1.0, 1.1], []], [[], []], [GOOD]])
def test_too_few_runs(losses: list[list[float]]) -> None:
    """Without an estimate of chance there is no advice."""
    assert advise_on(losses) == "no advice, because there are not enough runs to compare depths."


def test_edge_of_the_search() -> None:
    """There is no advice where a depth may not have had its best learning rate."""
    assert advise_on([BAD, GOOD], edge="highest") == (
        "no advice, because the tuning ended at the edge of its search for 2 layers."
    )


def test_untuned() -> None:
    """Without tuning the advice says that it holds for the settings alone."""
    assert advise_on([BAD, GOOD], num_trials=0).endswith("this holds for these settings alone (--tune).")
