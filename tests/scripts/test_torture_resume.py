"""A short run of scripts/torture_resume.py, and its comparison of results."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from repository import load_script


@pytest.fixture(scope="module")
def torture_resume() -> ModuleType:
    """Return the script as a module."""
    return load_script("torture_resume")


def test_killed_runs_equal_an_uninterrupted_run(torture_resume: ModuleType, tmp_path: Path) -> None:
    """Runs that are killed with SIGKILL and resumed have the results of an uninterrupted run."""
    tally = torture_resume.torture(tmp_path, kills=2, steps=40, seed=2)
    assert tally.kills == tally.exact == 2


@pytest.mark.parametrize(
    ("first", "second", "is_equal"),
    [
        ({"a": [torch.ones(2)]}, {"a": [torch.ones(2)]}, True),
        ({"a": [torch.ones(2)]}, {"a": [torch.tensor([1, 1 + 2**-23])]}, False),
        ({"a": torch.ones(2)}, {"a": torch.ones(2, dtype=torch.float64)}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [1], False),
    ],
)
def test_comparison_is_exact(torture_resume: ModuleType, first: Any, second: Any, is_equal: bool) -> None:
    """Results differ if one bit, one key, one dtype or one row differs."""
    assert torture_resume.is_equal(first, second) is is_equal
