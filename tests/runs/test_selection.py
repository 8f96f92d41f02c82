"""Filters and orders of an overview."""

from pathlib import Path

import pytest

from charlm.config import Config
from charlm.errors import InputError
from charlm.runs.overview import RunSummary
from charlm.runs.selection import ORDERS, parse_filter, select

ONE = Config().replace("model", num_layers=1).replace("data", path="b.txt")
TWO = Config().replace("train", learning_rate=0.005).replace("data", path="1")

RUNS = [
    RunSummary(Path("c"), "stopped", [], TWO, 20, 5, 9, None, 3.0),
    RunSummary(Path("b"), "finished", [], ONE, 10, 9, 9, 1.5, 2.0),
    RunSummary(Path("d"), "damaged", ["x"]),
    RunSummary(Path("a"), "running", [], TWO, 30, 7, 9, 1.4, 1.0),
]


def names(*filters: str, order: str = "run") -> str:
    """Return the runs that are left, in their order."""
    return "".join(str(run.path) for run in select(RUNS, map(parse_filter, filters), order))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("loss", "abcd"),
        ("run", "abcd"),
        ("parameters", "bcad"),
        ("text", "acbd"),
        ("steps", "cabd"),
        ("time", "abcd"),
        ("state", "bcad"),
    ],
)
def test_orders(order: str, expected: str) -> None:
    """Each order puts what is not known last, and equal runs in the order of their paths."""
    assert names(order=order) == expected
    assert len(ORDERS) == 7


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], "abcd"),
        (["state=damaged"], "d"),
        (["state=running"], "a"),
        (["model.num_layers=2"], "ac"),
        (["train.learning_rate=5e-3"], "ac"),
        (["data.path=1"], "ac"),
        (["data.path=b.txt", "state=finished"], "b"),
        (["data.path=b.txt", "state=stopped"], ""),
        (["sample.prompt="], "abc"),
    ],
)
def test_filters(filters: list[str], expected: str) -> None:
    """A run must meet all conditions; one whose configuration is not known meets none about it."""
    assert names(*filters) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finished", r"--filter finished: expected KEY=VALUE, as in .*state=finished"),
        ("state=done", r"--filter state=done: expected finished, stopped, running or damaged, got 'done'"),
        ("model.num_layer=2", r"--filter model\.num_layer: unknown key\. Did you mean 'num_layers'"),
        ("num_layers=2", r"--filter num_layers: unknown key\. Did you mean 'model.num_layers'"),
        ("model=2", r"--filter model: unknown key"),
        ("=2", r"--filter : unknown key"),
        ("model.num_layers=two", r"--filter model\.num_layers: expected a number, got 'two'"),
        ("model.num_layers=", r"--filter model\.num_layers: expected a number, got ''"),
        ("model.num_layers=010", r"--filter model\.num_layers: YAML reads 010 as a different number"),
    ],
)
def test_wrong_filters(text: str, message: str) -> None:
    """A filter that can never hold is refused with what was probably meant."""
    with pytest.raises(InputError, match=message):
        parse_filter(text)
