"""The page on initial weights: its tables are those of the committed results."""

import pytest
from repository import ROOT, load_script

PAGE = (ROOT / "docs" / "initialization.md").read_text(encoding="utf-8")

script = load_script("draw_initialization")
RUNS = script.read_runs(ROOT / "docs" / "initialization" / "results.jsonl")


def test_page_has_the_tables_of_the_results() -> None:
    """The tables of the page are what the script prints."""
    for table in script.make_tables(RUNS):
        assert table in PAGE


@pytest.mark.parametrize("rule", script.SHORT_RULES)
def test_the_study_is_whole(rule: str) -> None:
    """Every compared rule has three seeds on three texts at four depths and two widths."""
    assert len(script.select(RUNS, steps=script.SHORT, rule=rule)) == 3 * 3 * 4 * 2


@pytest.mark.parametrize("rule", script.LONG_RULES)
def test_long_runs_are_whole(rule: str) -> None:
    """Both rules of the second table have long runs on three texts."""
    assert len(script.select(RUNS, steps=script.LONG, rule=rule)) == 3


def test_figure_is_drawn_from_the_results() -> None:
    """The figure can be drawn from the committed results."""
    assert script.draw(RUNS).startswith(b"\x89PNG")
