"""The findings on depth: docs/depth.md agrees with the committed results."""

import json
from pathlib import Path

import pytest
from repository import ROOT, load_script
from scipy import stats

PAGE = (ROOT / "docs" / "depth.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "docs" / "depth").glob("*/results.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_page_has_the_table_of_the_results(path: Path) -> None:
    """Every table of the page is what scripts/tabulate_depth.py prints of its results."""
    assert load_script("tabulate_depth").tabulate(json.loads(path.read_bytes())) in PAGE


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_results_follow_from_their_runs(path: Path) -> None:
    """The committed differences are those of the committed runs, none of them is missing, and the widths are right."""
    results = json.loads(path.read_bytes())
    assert results["loss"] == "test"
    for group in results["groups"]:
        losses = {
            arm["num_layers"]: {run["seed"]: run["test_loss_nats"] for run in arm["runs"]} for arm in group["arms"]
        }
        assert all(list(by_seed) == results["seeds"] for by_seed in losses.values())
        assert len(group["differences"]) == 3
        for difference in group["differences"]:
            first, second = losses[difference["from_layers"]], losses[difference["to_layers"]]
            gains = [first[seed] - second[seed] for seed in results["seeds"]]
            assert difference["gains_nats"] == pytest.approx(gains)
            interval = stats.ttest_rel(gains, [0.0] * len(gains)).confidence_interval(0.95)
            assert difference["interval_nats"] == pytest.approx(interval)


def test_page_says_which_version_its_results_have() -> None:
    """The results are of a former layout, and the page says so."""
    assert {json.loads(path.read_bytes())["version"] for path in RESULTS} == {1}
    assert "version 1 of" in PAGE


def test_there_are_results() -> None:
    """The page rests on comparisons at equal parameters of two texts, and on one at equal width."""
    assert [path.parent.name for path in RESULTS] == ["shakespeare", "warpeace", "warpeace-width"]
