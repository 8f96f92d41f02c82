"""The page on initial weights: its tables are those of the committed results."""

import pytest
from repository import ROOT, load_script

PAGE = (ROOT / "docs" / "initialization.md").read_text(encoding="utf-8")

script = load_script("draw_initialization")
RUNS = script.read_runs(ROOT / "docs" / "initialization" / "results.jsonl")
TEXTS = list(dict.fromkeys(run["run"]["text"] for run in RUNS))


def test_page_has_the_tables_of_the_results() -> None:
    """The tables of the page are what the script prints."""
    assert script.tabulate(RUNS, script.COMPARED, TEXTS) in PAGE
    others = [rule for rule in script.NAMES if rule not in script.COMPARED and script.select(RUNS, rule=rule)]
    assert not others or script.tabulate(RUNS, ["chosen", *others], TEXTS) in PAGE


@pytest.mark.parametrize("rule", script.COMPARED)
def test_the_study_is_whole(rule: str) -> None:
    """Every compared rule has three seeds on three texts at four depths and two widths."""
    assert len(script.select(RUNS, rule=rule)) == 3 * 3 * 4 * 2


def test_figure_is_drawn_from_the_results() -> None:
    """The figure can be drawn from the committed results."""
    assert script.draw(RUNS).startswith(b"\x89PNG")
