"""compare-layers: the solver, the pairing, the files, and going on where it stood."""

import json
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.checkpoint import load_checkpoint
from charlm.comparison.arms import Arm, count_parameters, plan_arms, solve_hidden_size
from charlm.comparison.experiment import configure_arm, plan_comparison, run_comparison
from charlm.comparison.pairing import PairedDifference
from charlm.comparison.report import write_report
from charlm.config import Config
from charlm.errors import InputError
from charlm.reporter import Reporter


@given(
    budget=st.integers(200, 10**8), vocabulary_size=st.integers(1, 300), embed_size=st.integers(1, 100),
    num_layers=st.integers(1, 6),
)  # fmt: skip
def test_no_other_width_comes_closer(budget: int, vocabulary_size: int, embed_size: int, num_layers: int) -> None:
    """The solved width is as close to the budget as any, the smaller of two as close; or the budget is too small."""

    def distance(width: int) -> int:
        return abs(count_parameters(vocabulary_size, embed_size, width, num_layers) - budget)

    try:
        width = solve_hidden_size(budget, vocabulary_size, embed_size, num_layers)
    except InputError:
        assert count_parameters(vocabulary_size, embed_size, 1, num_layers) > budget
        return
    assert distance(width) <= distance(width + 1)
    assert width == 1 or distance(width) < distance(width - 1)


def test_arms_state_their_mismatch() -> None:
    """Every arm says how many parameters it has and how far that is from the budget."""
    arms = plan_arms([1, 2, 3], 100_000, 65, 32)
    assert [arm.num_layers for arm in arms] == [1, 2, 3]
    assert arms[0].hidden_size > arms[1].hidden_size > arms[2].hidden_size
    assert all(abs(arm.mismatch) < 0.02 for arm in arms)
    assert all(arm.mismatch == pytest.approx(arm.num_parameters / 100_000 - 1) for arm in arms)


def test_budget_too_small() -> None:
    """A budget below width 1 names the depth and the least it takes."""
    with pytest.raises(InputError, match="too small for 3 layers, which have"):
        plan_arms([1, 3], 560, 65, 6)


def test_runs_share_all_but_depth_width_and_seed(config: Config) -> None:
    """Two runs of a comparison differ in nothing but their arm and their seed."""
    first = configure_arm(config, Arm(1, 20, 0, 1), 1).model_dump()
    second = configure_arm(config, Arm(3, 9, 0, 1), 2).model_dump()
    differing = {
        f"{section}.{key}" for section in first for key in first[section] if first[section][key] != second[section][key]
    }
    assert differing == {"model.num_layers", "model.hidden_size", "train.seed"}


def compare(config: Config, directory: Path, seeds: list[int]) -> dict:
    """Run a small comparison and return its results."""
    plan = plan_comparison(config, [1, 2], seeds, 4000, Reporter())
    runs = run_comparison(plan, directory, lambda path, name: Reporter())
    write_report(plan, runs, directory)
    return json.loads((directory / "results.json").read_text())


def test_results(config: Config, tmp_path: Path) -> None:
    """The results hold every run, means and spreads over seeds, and differences paired by seed."""
    results = compare(config, tmp_path / "out", [1, 2])
    losses = [[run["best_loss_nats"] for run in arm["runs"]] for arm in results["arms"]]
    gains = [one - two for one, two in zip(*losses, strict=True)]
    assert results["arms"][0]["mean_loss_nats"] == pytest.approx(statistics.fmean(losses[0]))
    assert results["arms"][1]["sd_loss_nats"] == pytest.approx(statistics.stdev(losses[1]))
    assert results["differences"][0]["gains_nats"] == pytest.approx(gains)
    assert results["differences"][0]["mean_gain_nats"] == pytest.approx(statistics.fmean(gains))
    assert results["differences"][0]["interval_95_nats"] == pytest.approx(PairedDifference(tuple(gains)).interval)
    assert results["differences"][0]["verdict"] in ("better", "worse", "undecided")
    assert results["num_chars"] == 30 * 4 * 16
    assert len(results["arms"][0]["runs"][0]["curve"]) == 3
    best = load_checkpoint(tmp_path / "out" / results["arms"][1]["runs"][1]["directory"] / "best.pt")
    assert best.loss_nats == losses[1][1]
    assert best.config.model.num_layers == 2
    assert best.config.train.seed == 2


def test_report_and_curves(config: Config, tmp_path: Path) -> None:
    """The report has a row for each depth, and the picture is a PNG."""
    compare(config, tmp_path / "out", [1, 2])
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| 1 |" in report
    assert "2 layers against 1: loss lower by" in report
    assert "95 % interval" in report
    assert "nothing can be concluded" not in report
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_one_seed_concludes_nothing(config: Config, tmp_path: Path) -> None:
    """With one seed there is no spread, and the report says that nothing can be concluded."""
    results = compare(config, tmp_path / "out", [1])
    assert results["arms"][0]["sd_loss_nats"] is None
    assert results["differences"][0]["interval_95_nats"] is None
    assert results["differences"][0]["verdict"] == "undecided"
    assert "nothing can be concluded" in (tmp_path / "out" / "report.md").read_text()


def test_goes_on_where_it_stood(config: Config, tmp_path: Path) -> None:
    """A second call trains nothing again and finds the same; a further seed only adds its own runs."""
    first = compare(config, tmp_path / "out", [1])
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/last.pt")}
    both = compare(config, tmp_path / "out", [1, 2])
    assert both["arms"][0]["runs"][0] == first["arms"][0]["runs"][0]
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(list((tmp_path / "out").glob("*/last.pt"))) == 4
