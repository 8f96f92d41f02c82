"""Lengths as an axis of a comparison: steps, schedules, names, groups and figures."""

import pytest
from outcomes import make_outcome

from charlm.comparison.advice import find_winner
from charlm.comparison.agenda import order_groups
from charlm.comparison.experiment import ArmOutcome
from charlm.comparison.length_figures import draw_lengths, draw_map
from charlm.comparison.lengths import count_steps, set_length
from charlm.comparison.plan import Plan, plan_comparison
from charlm.comparison.report import format_report
from charlm.comparison.results import Results, summarize
from charlm.config import Config
from charlm.training.schedule import learning_rate_at, plan_decay


def plan(config: Config, lengths: tuple[int, ...] = (3840, 1920)) -> Plan:
    """Plan a comparison of two depths at two budgets and two lengths."""
    return plan_comparison(config, [1, 2], [1, 2], "width", [10, 9], 0, lengths=lengths)


def summarize_made_up(planned: Plan, losses: dict[int, list[float]]) -> Results:
    """Return results in which every arm of a depth has the same losses."""
    outcomes = [
        ArmOutcome(arm, runs={seed: make_outcome(loss, seed) for seed, loss in enumerate(losses[arm.num_layers])})
        for arm in planned.arms
    ]
    return summarize(planned, outcomes, "charlm compare-layers")


@pytest.mark.parametrize(("num_chars", "num_steps"), [(640, 10), (641, 11), (1, 1)])
def test_characters_are_whole_steps(config: Config, num_chars: int, num_steps: int) -> None:
    """Characters are rounded up to steps of batch times sequence, here 64."""
    assert count_steps(config, num_chars) == num_steps


@pytest.mark.parametrize("factor", [2, 10])
def test_schedule_is_planned_for_the_length(config: Config, factor: int) -> None:
    """A longer run has the same schedule stretched: warm-up, cosine to its own end, and as many validations."""
    long = set_length(config, factor * 30 * 64).train
    assert (long.max_steps, long.warmup_steps, long.eval_every) == (30 * factor, 5 * factor, 10 * factor)
    rates = [learning_rate_at(step, config.train, plan_decay(config.train)) for step in (10, 20, 30)]
    assert [learning_rate_at(factor * step, long, plan_decay(long)) for step in (10, 20, 30)] == pytest.approx(rates)


def test_short_run_has_a_validation(config: Config) -> None:
    """The steps between validations are at least one."""
    assert set_length(config, 64).train.eval_every == 1


def test_length_of_the_configuration_changes_nothing(config: Config) -> None:
    """With the characters of the configured steps, runs are as configured."""
    assert set_length(config, 30 * 64) == config


def test_arms_of_each_length(config: Config) -> None:
    """Every length has its arms, with names and configurations of their own; the shortest and smallest come first."""
    planned = plan(config)
    assert len({planned.name(arm) for arm in planned.arms}) == len(planned.arms) == 8
    assert len(set(planned.run_names)) == len(planned.run_names) == 16
    assert {planned.count_chars(arm) for arm in planned.arms} == {1920, 3840}
    [run, *_] = planned.runs(planned.arms[0])
    assert (run.name, run.config.train.max_steps) == ("1x10-60-steps-seed-1", 60)
    order = [(group[0].num_chars, group[0].budget) for group in order_groups(planned.arms)]
    assert order == [(1920, 9), (1920, 10), (3840, 9), (3840, 10)]


def test_without_lengths_names_are_as_before(config: Config) -> None:
    """Without lengths the configured steps hold, and names have none."""
    planned = plan(config, ())
    assert planned.name(planned.arms[0]) == "1x10"
    assert planned.configure(planned.arms[0]).train.max_steps == 30


def test_results_have_a_group_for_each_length(config: Config) -> None:
    """Every length and budget is a group, and the report names both."""
    results = summarize_made_up(plan(config), {1: [1.0, 1.01], 2: [2.0, 2.01]})
    assert [(group.num_chars, group.budget) for group in results.groups] == [
        (3840, 10), (3840, 9), (1920, 10), (1920, 9),
    ]  # fmt: skip
    assert [group.arms[0].values["train.warmup_steps"] for group in results.groups] == [10, 10, 5, 5]
    report = format_report(results)
    assert "## 10 hidden units per layer, 3,840 characters" in report
    assert "every run trains on 3,840 or 1,920 characters" in report


@pytest.mark.parametrize(
    ("losses", "winner"),
    [
        ({1: [1.0, 1.01, 1.02], 2: [2.0, 2.01, 2.02]}, 1),
        ({1: [2.0, 2.01, 2.02], 2: [1.0, 1.01, 1.02]}, 2),
        ({1: [1.0, 2.0, 3.0], 2: [2.0, 3.0, 1.0]}, None),
        ({1: [], 2: []}, None),
    ],
)
def test_winner(config: Config, losses: dict[int, list[float]], winner: int | None) -> None:
    """A depth wins a cell of the map if it is decided to be better than every other."""
    results = summarize_made_up(plan(config), losses)
    assert [find_winner(group) for group in results.groups] == 4 * [winner]


@pytest.mark.parametrize("losses", [{1: [1.0, 1.01], 2: [2.0, 2.01]}, {1: [1.0], 2: [1.0]}, {1: [], 2: []}])
def test_figures(config: Config, losses: dict[int, list[float]]) -> None:
    """The figures are drawn for decided and undecided cells, and where no run is finished."""
    results = summarize_made_up(plan(config), losses)
    assert draw_lengths(results).startswith(b"\x89PNG")
    assert draw_map(results).startswith(b"\x89PNG")
