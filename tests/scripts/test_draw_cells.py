"""The page on growing cells: its table is that of the committed results."""

from typing import Any

import pytest
from repository import ROOT, load_script

PAGE = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")

script = load_script("draw_cells")
RUNS = script.read_runs(ROOT / "docs" / "cells" / "results.jsonl")
TEXTS = list(dict.fromkeys(run["run"]["text"] for run in RUNS))


def test_page_has_the_table_of_the_results() -> None:
    """The table of the page is what the script prints."""
    assert script.tabulate(RUNS) in PAGE


def test_the_drawn_runs_exist_on_every_text() -> None:
    """The runs with and without resets are there for all three texts, and no run is there twice."""
    assert len(TEXTS) == 3
    assert all(script.select(RUNS, text=text, variant=variant) for text in TEXTS for variant in script.DRAWN)
    assert len({str(run["run"]) for run in RUNS}) == len(RUNS)


def test_rules_of_initial_weights_are_not_mixed() -> None:
    """Runs that differ only in the first forget biases have rows of their own."""
    other = {**RUNS[0], "run": RUNS[0]["run"] | {"first_forget_biases": [-1.0, -1.0]}}
    rows = script.tabulate([RUNS[0], other]).splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == ["-1", "-1 to 1"]
    assert [row.split("|")[4].strip() for row in rows] == ["1", "1"]


def test_figure_is_drawn_from_the_results() -> None:
    """The figure can be drawn from the committed results."""
    assert script.draw(RUNS).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("early", "middle", "last", "expected"),
    [(1.0, 5.0, 9.5, 1), (1.0, 2.0, 2.9, 0), (5.0, 5.0, 9.5, 0), (1.0, 8.0, 9.5, 0)],
    ids=["grows", "small", "large from the start", "at its limit"],
)
def test_cells_that_grow(early: float, middle: float, last: float, expected: int) -> None:
    """A cell grows if it ends large, much larger than it began, and still rises in the second half."""
    run: dict[str, Any] = {"cells": {"early": [early, 0.5], "middle": [middle, 0.5], "last": [last, 0.5]}}
    assert script.count_growing(run) == expected


def test_the_spread_needs_two_seeds() -> None:
    """Two values have a mean and a standard deviation; a single one has no deviation."""
    assert script.format_values([1.0, 2.0], 2) == "1.50 ± 0.71"
    assert script.format_values([1.0], 2) == "1.00"
