"""A comparison from plan to results: the trained runs, the runs that are not repeated, and the reported failures."""

import json
import math
import statistics
from pathlib import Path

import pytest
import torch
from recording import results_without_times

import charlm
from charlm.comparison.experiment import read_comparison, run_comparison
from charlm.comparison.outcome import FILE_NAME, read_outcome
from charlm.comparison.plan import Plan, plan_comparison
from charlm.comparison.process import Stop, Task, train_task
from charlm.comparison.report import format_report, write_report
from charlm.comparison.results import Results, summarize
from charlm.comparison.search import configured_values
from charlm.comparison.statistics import compare_means
from charlm.comparison.stored_plan import store_plan
from charlm.comparison.tuning import MAX_EXTENSIONS, Trial
from charlm.comparison.work import Progress
from charlm.comparison.workers import LocalPool
from charlm.config import Config, load_config
from charlm.inference.trained import load
from charlm.runs.checkpoint import load_checkpoint
from charlm.text.corpus import load_corpus
from charlm.training.session import Session


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in threads of this process, which saves the start of a process for each run."""

    def train(task: Task, _stop: Stop) -> None:
        train_task(task)

    monkeypatch.setattr("charlm.comparison.workers.train_in_process", train)


pytestmark = pytest.mark.usefixtures("_in_this_process")


@pytest.fixture
def quick(config: Config) -> Config:
    """Return a configuration whose runs take a moment."""
    return config.replace("train", max_steps=6, eval_every=3, warmup_steps=1)


def plan(config: Config, seeds: list[int], num_trials: int = 0) -> Plan:
    """Plan a comparison of two depths at 4,000 parameters."""
    return plan_comparison(config, [1, 2], seeds, "parameters", [4000], num_trials)


def compare(planned: Plan, directory: Path, num_jobs: int = 2) -> tuple[Results, list[str]]:
    """Run a comparison and return its results, and the name of each trial or run that ended."""
    said: list[Progress] = []
    failures = run_comparison(planned, directory, LocalPool(num_jobs), said.append)
    ended = [each.ending.name for each in said if each.ending]
    return summarize(planned, read_comparison(planned, directory, failures), "charlm compare-layers"), ended


def test_runs_share_all_but_depth_width_and_seed(quick: Config) -> None:
    """Two runs of a comparison differ in nothing but their arm and their seed."""
    planned = plan(quick, [1, 2])
    first = planned.runs(planned.arms[0])[0].config.model_dump()
    second = planned.runs(planned.arms[1])[1].config.model_dump()
    differing = {f"{part}.{key}" for part in first for key in first[part] if first[part][key] != second[part][key]}
    assert differing == {"model.num_layers", "model.hidden_size", "train.seed"}


def test_arms_read_the_same_characters(quick: Config) -> None:
    """Arms of one seed, and of others, see the same characters in the same order."""
    planned = plan(quick, [1, 2])
    corpus = load_corpus(quick.data.path, quick.data.level)
    configs = [run.config for arm in planned.arms for run in planned.runs(arm)]
    streams = [Session(config, corpus).streams for config in configs]
    for step in range(2 * streams[0].steps_per_pass):
        batches = [each.batch(step) for each in streams]
        assert all(torch.equal(batch.inputs, batches[0].inputs) for batch in batches)
        assert all(torch.equal(batch.targets, batches[0].targets) for batch in batches)


def test_results(quick: Config, tmp_path: Path) -> None:
    """The results hold every run, means and spreads over seeds, and the differences of the test losses."""
    results, said = compare(plan(quick, [1, 2]), tmp_path)
    [group] = results.groups
    losses = [[run.test_loss_nats for run in arm.runs] for arm in group.arms]
    assert len(said) == 4
    assert results.loss == "test"
    assert group.num_chars == 6 * 4 * 16
    assert group.arms[0].mean_loss_nats == pytest.approx(statistics.fmean(losses[0]))
    assert group.arms[1].sd_loss_nats == pytest.approx(statistics.stdev(losses[1]))
    [difference] = group.differences
    [expected] = compare_means(losses)
    assert (difference.mean_gain_nats, difference.interval_nats) == (expected.gain, expected.interval)
    assert results.num_comparisons == 1
    run = group.arms[1].runs[1]
    assert run.curve.num_chars == [3 * 4 * 16, 6 * 4 * 16]
    assert min(run.curve.loss_nats) == run.val_loss_nats
    assert run.test_loss_nats == load(tmp_path / run.directory).evaluate_split("test").loss_nats
    best = load_checkpoint(tmp_path / run.directory / "best.pt")
    assert best.loss_nats == run.val_loss_nats
    assert (best.config.model.num_layers, best.config.train.seed, best.step) == (2, 2, run.best_step)


def test_without_a_test_part_validation_is_compared(quick: Config, tmp_path: Path) -> None:
    """Where no text is held back, the validation loss is compared, and the report says so."""
    results, _ = compare(plan(quick.replace("data", test_frac=0.0), [1]), tmp_path)
    assert results.loss == "val"
    assert results.groups[0].arms[0].mean_loss_nats == results.groups[0].arms[0].runs[0].val_loss_nats
    assert results.groups[0].arms[0].runs[0].test_loss_nats is None
    assert "Loss is that of the validation part" in format_report(results)


def test_report(quick: Config, tmp_path: Path) -> None:
    """The files are written: a report with a row for each depth and a verdict, the results, and two pictures."""
    planned = plan(quick, [1, 2])
    results, _ = compare(planned, tmp_path)
    report = write_report(planned, read_comparison(planned, tmp_path, {}), tmp_path, "charlm compare-layers")
    assert (tmp_path / "report.md").read_text() == report
    assert Results.model_validate_json((tmp_path / "results.json").read_bytes()) == results
    assert results.versions["charlm"] == charlm.__version__
    assert "|      2 |" in report
    assert "95 % interval" in report
    assert "Nothing was tuned" in report
    assert "nothing can be concluded" not in report
    assert "## Advice\n\nFor texts like " in report
    for name in ("curves.png", "depth.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_one_seed_concludes_nothing(quick: Config, tmp_path: Path) -> None:
    """With one seed there is no spread, and the report says that nothing can be concluded."""
    results, _ = compare(plan(quick, [1]), tmp_path)
    assert results.groups[0].arms[0].sd_loss_nats is None
    assert results.groups[0].differences[0].interval_nats is None
    assert results.groups[0].differences[0].verdict == "undecided"
    assert "nothing can be concluded" in format_report(results)


def test_tuning_takes_the_best_trial(quick: Config, tmp_path: Path) -> None:
    """Every run of an arm trains with the values of the trial with the lowest validation loss."""
    planned = plan(quick.replace("train", learning_rate=1e-3), [1], num_trials=2)
    results, ended = compare(planned, tmp_path)
    for arm in results.groups[0].arms:
        best = min(arm.trials, key=lambda trial: trial.val_loss_nats or math.inf)
        assert (arm.best_trial, arm.values) == (best.number, best.values)
        assert best.number > 2  # the rate is far too low, so that the search was extended
        size = f"{arm.num_layers}x{arm.hidden_size}"
        [run] = arm.runs
        assert run.directory == f"{size}-seed-1-trial-{best.number:02}"
        trained = load_checkpoint(tmp_path / run.directory / "best.pt").config
        assert configured_values(trained) == best.values
        trials = [
            load_config(tmp_path / "tuning" / f"{size}-trial-{trial.number:02}" / "config.yaml") for trial in arm.trials
        ]
        assert [configured_values(config) for config in trials] == [trial.values for trial in arm.trials]
        assert {config.train.seed for config in trials} == {0}
        assert all(f"{size}-trial-{trial.number:02}" in ended for trial in arm.trials)
    [group] = results.groups
    [difference] = group.differences
    assert difference.tuning_spread_nats == sum(arm.best_trials_spread_nats for arm in group.arms)
    assert (difference.verdict == "edge of search") == any(arm.edge for arm in group.arms)
    report = write_report(planned, read_comparison(planned, tmp_path, {}), tmp_path, "charlm compare-layers")
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")
    assert "extension |" in report


def test_names_of_runs_and_trials(quick: Config) -> None:
    """A run is named by depth, width and seed, and with tuning by its trial; trials have their own directory."""
    planned = plan(quick, [1, 2])
    arm = planned.arms[1]
    size = f"2x{arm.hidden_size}"
    trial = Trial(3, {"model.dropout": 0.25}, "complete", 1.0)
    assert [run.name for run in planned.runs(arm)] == [f"{size}-seed-1", f"{size}-seed-2"]
    assert [run.name for run in planned.runs(arm, trial)] == [f"{size}-seed-1-trial-03", f"{size}-seed-2-trial-03"]
    assert planned.trial_run(arm, trial).name == f"tuning/{size}-trial-03"
    configs = [run.config for run in [*planned.runs(arm, trial), planned.trial_run(arm, trial)]]
    assert [(config.model.dropout, config.train.seed) for config in configs] == [(0.25, 1), (0.25, 2), (0.25, 0)]


def test_within_a_plan_a_name_is_one_configuration(quick: Config) -> None:
    """Of all trials and runs of two budgets, those with one name have one configuration, and the reverse."""
    planned = plan_comparison(quick, [1, 2], [1, 2], "width", [9, 10], 3)
    trials = [Trial(number, {"model.dropout": number / 10}, "complete", 1.0) for number in range(1, 4 + MAX_EXTENSIONS)]
    runs = [planned.trial_run(arm, trial) for arm in planned.arms for trial in trials]
    runs += [run for arm in planned.arms for trial in trials for run in planned.runs(arm, trial)]
    assert len({run.name for run in runs}) == len({run.config.to_yaml() for run in runs}) == len(runs)
    assert planned.run_names == [run.name for run in runs]


def test_arms_of_one_size_are_trained_once(quick: Config, tmp_path: Path) -> None:
    """Two budgets that lead to one width share their trials and runs."""
    planned = plan_comparison(quick, [1], [1], "parameters", [4000, 4001], 1)
    results, ended = compare(planned, tmp_path)
    first, second = (group.arms[0] for group in results.groups)
    assert len(ended) == len(set(ended)) == len(first.trials) + 1
    assert first.runs == second.runs != []
    assert first.trials == second.trials


def test_trial_that_finishes_late_may_change_the_choice(quick: Config, tmp_path: Path) -> None:
    """A trial that fails is tried again by the next call; if it is the best, the runs are trained with its values."""
    planned = plan_comparison(quick, [1], [1], "parameters", [4000], 3)
    late = tmp_path / planned.name_trial(planned.arms[0], 3)  # with the highest learning rate of the three
    store_plan(planned, tmp_path)
    (late / "metrics.jsonl").mkdir(parents=True)  # the trial cannot be trained
    former, _ = compare(planned, tmp_path)
    assert former.groups[0].arms[0].best_trial == 1
    assert "cannot resume" in former.groups[0].arms[0].failures[planned.name_trial(planned.arms[0], 3)]
    (late / "metrics.jsonl").rmdir()
    again, ended = compare(planned, tmp_path)
    assert again.groups[0].arms[0].failures == {}
    assert again.groups[0].arms[0].best_trial >= 3
    assert ended[0] == late.name
    assert "-trial-01" not in "".join(ended)


def test_goes_on_where_it_stood(quick: Config, tmp_path: Path) -> None:
    """A second call trains nothing again and finds the same; a further seed only adds its own runs."""
    first, _ = compare(plan(quick, [1]), tmp_path)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/last.pt")}
    again, said = compare(plan(quick, [1]), tmp_path)
    assert (again, said) == (first, [])
    both, said = compare(plan(quick, [1, 2]), tmp_path)
    assert both.groups[0].arms[0].runs[0] == first.groups[0].arms[0].runs[0]
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert len(said) == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"seed": 1}'])
def test_damaged_outcome_is_made_again(quick: Config, tmp_path: Path, content: bytes) -> None:
    """An outcome that cannot be read is written again from the finished run, with the same figures."""
    first, _ = compare(plan(quick, [1]), tmp_path)
    path = tmp_path / first.groups[0].arms[0].runs[0].directory / FILE_NAME
    path.write_bytes(content)
    assert read_outcome(path.parent) is None
    again, said = compare(plan(quick, [1]), tmp_path)
    assert results_without_times(again) == results_without_times(first)
    assert len(said) == 1


def test_side_by_side_changes_nothing(quick: Config, tmp_path: Path) -> None:
    """One run at a time, or as many as there are arms: the same trials and results, but for times."""
    alone, _ = compare(plan(quick, [1], 2), tmp_path / "alone", num_jobs=1)
    together, _ = compare(plan(quick, [1], 2), tmp_path / "together", num_jobs=2)
    assert results_without_times(alone) == results_without_times(together)


def test_shards_together_are_the_whole(quick: Config, tmp_path: Path) -> None:
    """Each share trains its own arms, and all of them together make the results of the whole."""
    whole, _ = compare(plan(quick, [1], 2), tmp_path / "whole")
    for index in (1, 2):
        said: list[Progress] = []
        run_comparison(plan(quick, [1], 2), tmp_path / "shards", LocalPool(1), said.append, share=(index, 2))
        assert said[-1].num_finished == said[-1].num_tasks >= 3
    merged, said = compare(plan(quick, [1], 2), tmp_path / "shards")
    assert said == []
    assert results_without_times(merged) == results_without_times(whole)


def test_failed_run_is_reported_and_the_rest_goes_on(quick: Config, tmp_path: Path) -> None:
    """A run that cannot be trained is named with its reason; the other runs finish and are compared."""
    planned = plan(quick, [1, 2])
    blocked = planned.runs(planned.arms[1])[0]
    store_plan(planned, tmp_path)
    (tmp_path / blocked.name / "config.yaml").mkdir(parents=True)  # no file can be written in its place
    results, said = compare(planned, tmp_path)
    first, second = results.groups[0].arms
    assert (len(first.runs), len(second.runs)) == (2, 1)
    assert results.groups[0].differences[0].interval_nats is not None
    assert blocked.name in second.failures
    assert "cannot resume" in second.failures[blocked.name]
    assert f"- {blocked.name}: " in format_report(results)
    assert len(said) == 4


def test_report_of_what_is_there(quick: Config, tmp_path: Path) -> None:
    """A report of a comparison that has not been run says what is missing and compares nothing."""
    planned = plan(quick, [1, 2])
    write_report(planned, read_comparison(planned, tmp_path, {}), tmp_path, "charlm compare-layers")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["groups"][0]["differences"] == []
    assert set(results["groups"][0]["arms"][0]["failures"].values()) == {"not finished"}
    assert "No two depths have a finished run" in (tmp_path / "report.md").read_text()
