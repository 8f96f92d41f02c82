"""The findings on depth: docs/depth.md agrees with the committed results."""

import json
from pathlib import Path

import numpy as np
import pytest
from repository import ROOT, load_script
from scipy import stats

from charlm.comparison.results import Results

Samples = dict[int, list[float]]
Interval = tuple[float, float]

PAGE = (ROOT / "docs" / "depth.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "docs" / "depth").glob("*/results.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_page_has_the_table_of_the_results(path: Path) -> None:
    """Every table of the page is what scripts/tabulate_depth.py prints of its results."""
    assert load_script("tabulate_depth").tabulate(json.loads(path.read_bytes())) in PAGE


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_results_follow_from_their_runs(path: Path) -> None:
    """The committed differences are those of the committed runs, and none of them is missing."""
    results = json.loads(path.read_bytes())
    assert results["version"] == Results.model_fields["version"].default
    for group in results["groups"]:
        losses = {
            arm["num_layers"]: {run["seed"]: run[f"{results['loss']}_loss_nats"] for run in arm["runs"]}
            for arm in group["arms"]
        }
        assert all(list(by_seed) == results["seeds"] for by_seed in losses.values())
        assert len(group["differences"]) == 3
        samples = {depth: list(by_seed.values()) for depth, by_seed in losses.items()}
        for difference in group["differences"]:
            first, second = difference["from_layers"], difference["to_layers"]
            assert difference["mean_gain_nats"] == pytest.approx(np.mean(samples[first]) - np.mean(samples[second]))
            assert difference["interval_nats"] == pytest.approx(find_pooled_interval(samples, first, second))


def find_pooled_interval(samples: Samples, first: int, second: int) -> Interval:
    """Return the interval by the variance of all depths, or of the two where that is larger."""
    depths, num_runs = list(samples.values()), len(samples[first])
    variance = max(_pool(depths), _pool([samples[first], samples[second]]))
    half = stats.t.ppf(0.975, len(depths) * (num_runs - 1)) * np.sqrt(variance * 2 / num_runs)
    gain = np.mean(samples[first]) - np.mean(samples[second])
    return gain - half, gain + half


def _pool(depths: list[list[float]]) -> float:
    return float(np.mean([np.var(losses, ddof=1) for losses in depths]))


def test_there_are_results() -> None:
    """The page rests on these comparisons."""
    assert [path.parent.name for path in RESULTS] == ["defaults", "tinyshakespeare", "warpeace"]
