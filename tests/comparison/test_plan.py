"""A comparison before it runs."""

import pytest

from charlm.comparison import plan
from charlm.config import Config
from charlm.errors import InputError


def test_what_no_run_could_use_is_refused(config: Config) -> None:
    """An arm that does not fit the memory, and a prompt that the text does not have, are refused before any run."""
    with pytest.raises(InputError, match="not enough memory"):
        plan.plan_comparison(config, [2], [1], "parameters", [10**13], 0)
    with pytest.raises(InputError, match=r"sample\.prompt='Q'"):
        plan.plan_comparison(config.replace("sample", prompt="Q"), [1], [1], "parameters", [4000], 0)


def test_patience_is_refused(config: Config) -> None:
    """Runs that may end early cannot be compared at an equal number of steps."""
    with pytest.raises(InputError, match=r"train\.patience: expected 0 in a comparison, got 2; .* train\.max_steps"):
        plan.plan_comparison(config.replace("train", patience=2), [1], [1], "parameters", [4000], 0)


def test_a_base_is_refused(config: Config) -> None:
    """Arms of other sizes than the base cannot begin with its weights."""
    for settings in ({"init_from": "runs/base"}, {"init_digest": "0" * 64}):
        with pytest.raises(InputError, match=r"train\.init_from: expected no base in a comparison"):
            plan.plan_comparison(config.replace("train", **settings), [1], [1], "parameters", [4000], 0)
