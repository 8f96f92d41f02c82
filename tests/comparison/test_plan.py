"""A comparison before it runs."""

import pytest
import torch

from charlm.comparison import plan
from charlm.config import Config
from charlm.errors import InputError


@pytest.mark.parametrize("is_failing", [False, True])
def test_measuring_leaves_the_number_of_threads(
    config: Config, monkeypatch: pytest.MonkeyPatch, is_failing: bool
) -> None:
    """The expected duration is measured with the threads that each run will have, and torch has its own afterwards."""
    seen = []

    def measure(_: object) -> float:
        seen.append(torch.get_num_threads())
        if is_failing:
            raise RuntimeError("out of memory")
        return 1e6

    monkeypatch.setattr(plan, "measure_speed", measure)
    planned = plan.plan_comparison(config, [1, 2], [1], "parameters", [4000], 0)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        if is_failing:
            with pytest.raises(RuntimeError, match="out of memory"):
                plan.expect_duration(planned, 2)
        else:
            plan.expect_duration(planned, 2)
        assert torch.get_num_threads() == 4
        assert set(seen) == {2}
    finally:
        torch.set_num_threads(before)


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
