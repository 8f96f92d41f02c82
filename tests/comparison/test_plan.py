"""A comparison before it runs."""

import pytest
import torch

from charlm.comparison import plan
from charlm.config import Config


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
