"""scripts/measure_results.py on tiny models, and scripts/write_results.py on its records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from repository import ROOT, load_script
from texts import TEXT

from charlm.inference.sampling import Sampling
from charlm.inference.trained import load

measure_results = load_script("measure_results")
write_results = load_script("write_results")

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
TINY = (
    "model.num_layers=1", "model.hidden_size=8", "model.embed_size=4", "data.test_frac=0.1", "train.batch_size=4",
    "train.seq_length=16", "train.eval_every=5", "train.average_decay=0.5", "train.device=cpu", "sample.length=5",
)  # fmt: skip

Measure = Callable[..., Result]


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Return a function that measures a group of two tiny models of 5 and 10 steps under two seeds."""
    models = {f"{steps} steps": (*TINY, f"train.max_steps={steps}") for steps in (5, 10)}
    group = measure_results.Group("default.yaml", ("text.txt",), (1, 2), models)
    monkeypatch.setattr(measure_results, "GROUPS", {"tiny": group})
    monkeypatch.setattr(measure_results, "RECORDS", tmp_path / "docs" / "records.jsonl")
    monkeypatch.setattr(measure_results, "keep_freed_memory", lambda: None)  # it would last for the whole test run
    monkeypatch.setattr(measure_results, "watch_idle_threads", lambda: None)  # the same
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")

    def run(*options: str) -> Result:
        arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "runs"), *options]
        return CliRunner().invoke(measure_results.main, arguments)

    return run


def read_records() -> list[dict[str, Any]]:
    """Return the records that were measured."""
    return write_results.read_records(measure_results.RECORDS)


def change_group(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Change what the group is made of."""
    monkeypatch.setitem(measure_results.GROUPS, "tiny", measure_results.GROUPS["tiny"]._replace(**values))


def test_a_run_has_a_whole_record(measure: Measure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A record has the whole configuration without paths, the machine, the number of parameters and the validations."""
    change_group(monkeypatch, seeds=(2,))
    result = measure("--threads", "1")
    assert result.exit_code == 0, result.output
    assert str(tmp_path) not in measure_results.RECORDS.read_text(encoding="utf-8")
    record = read_records()[1]
    trained = load(tmp_path / "runs" / "tiny" / "text-10-steps-2")
    assert record["run"]["config"] == trained.checkpoint.config.replace("data", path="text.txt").model_dump()
    assert record["machine"].keys() >= {"torch", "processor", "num_threads", "device", "precision", "kernel"}
    assert record["machine"]["num_threads"] == 1
    assert [row["step"] for row in record["validations"]] == [5, 10]
    assert record["results"]["num_val_chars"] == round(len(TEXT) / 10)
    assert record["results"]["num_parameters"] == sum(weight.numel() for weight in trained.model.parameters())
    assert record["results"]["elapsed_s"] > 0


def test_losses_and_samples(measure: Measure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each loss is in nats and in bits what ``charlm eval`` measures, and garbage is counted by both rules."""
    models = {"10 steps": measure_results.GROUPS["tiny"].models["10 steps"]}
    change_group(monkeypatch, seeds=(1,), models=models, losses=("windowed", "dynamic", "test"), has_samples=True)
    judged: list[str] = []
    monkeypatch.setattr(measure_results, "is_unreadable", lambda sample: judged.append(sample) or len(judged) <= 3)
    assert measure().exit_code == 0
    [record] = read_records()
    trained = load(tmp_path / "runs" / "tiny" / "text-10-steps-1")
    losses = {
        "": trained.evaluate_split("val"),
        "windowed_": trained.evaluate_split("val", 256),
        "dynamic_": trained.evaluate_dynamic("val")[0],
        "test_": trained.evaluate_split("test"),
    }
    for name, evaluation in losses.items():
        assert record["results"][f"{name}loss_nats"] == pytest.approx(evaluation.loss_nats)
        assert record["results"][f"{name}bits_per_char"] == pytest.approx(evaluation.bits_per_char)
    counts = {name: value for name, value in record["results"].items() if name.startswith("num_")}
    samples = trained.sample_many(14, "", 150, Sampling(temperature=1.0), seed=1)
    assert judged == samples
    assert (counts["num_samples"], counts["num_unreadable"]) == (14, 3)
    assert counts["num_incoherent"] == 14  # ten steps teach no text


def test_a_stopped_measurement_goes_on(measure: Measure) -> None:
    """Runs with a record are not run again; a run that lost its record is not trained again either."""
    assert measure().exit_code == 0
    runs = [(record["run"]["model"], record["run"]["config"]["train"]["seed"]) for record in read_records()]
    assert runs == [("5 steps", 1), ("10 steps", 1), ("5 steps", 2), ("10 steps", 2)]
    lines = measure_results.RECORDS.read_text(encoding="utf-8").splitlines(keepends=True)
    measure_results.RECORDS.write_text("".join(lines[:3]), encoding="utf-8")
    result = measure()
    assert result.stdout.count("validation") == 1
    assert "finished at step 10" in result.stderr
    again = measure_results.RECORDS.read_text(encoding="utf-8").splitlines(keepends=True)
    assert again[:3] == lines[:3]
    assert json.loads(again[3]) == json.loads(lines[3])
    assert measure().stdout == ""


def test_a_record_from_before_a_key_counts(measure: Measure) -> None:
    """A record that lacks a key which was added later still belongs to its run."""
    assert measure().exit_code == 0
    records = read_records()
    for record in records:
        del record["run"]["config"]["train"]["patience"]
    measure_results.RECORDS.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    assert measure().stdout == ""
    assert write_results.read_records(measure_results.RECORDS)[0]["run"]["config"]["train"]["patience"] == 0


@pytest.mark.parametrize(
    ("preset", "text", "message"),
    [("none.yaml", "text.txt", "none.yaml: the group tiny"), ("default.yaml", "none.txt", "the file none.txt")],
    ids=["preset", "text"],
)
def test_what_is_missing_is_named(
    measure: Measure, monkeypatch: pytest.MonkeyPatch, preset: str, text: str, message: str
) -> None:
    """Without its preset or text a group is refused, and nothing is trained."""
    change_group(monkeypatch, preset=preset, texts=("text.txt", text))
    result = measure()
    assert result.exit_code == 2
    assert message in result.stderr
    assert not measure_results.RECORDS.exists()


@pytest.mark.parametrize(
    ("sample", "is_unreadable"),
    [
        ("Да, — сказал он.\n" + "1" * 11, False),
        ("ab" * 3 + "1" * 4, False),
        ("ab" * 3 + "1" * 5, True),
        ("$3&" * 50, True),
        (".,;:!?'\"()-", False),
    ],
    ids=["Russian", "60 %", "less", "signs", "punctuation"],
)
def test_unreadable_samples(sample: str, is_unreadable: bool) -> None:
    """Less than 60 % of letters of any alphabet, white space and common punctuation is unreadable."""
    assert measure_results.is_unreadable(sample) is is_unreadable


def make_record(
    group: str, model: str = "preset", text: str = "a.txt", seed: int = 1, **results: float
) -> dict[str, Any]:
    """Return a record with two validations, after 150 and 300 steps."""
    values = {"loss_nats": 1.5, "num_val_chars": 1001, "best_step": 300, "num_parameters": 12345, "elapsed_s": 60.0}
    machine = {"charlm": "1", "torch": "2", "python": "3", "processor": "x86_64", "num_threads": 2}
    first = {"step": 150, "loss_nats": 2.0, "elapsed_s": 30.0, "chars_per_s": 500.0}
    return {
        "run": {"group": group, "text": text, "model": model, "config": {"train": {"seed": seed, "max_steps": 300}}},
        "machine": machine | {"device": "cpu", "precision": "bf16", "kernel": "cpu"},
        "results": values | results,
        "validations": [first, {**first, "step": 300, "loss_nats": 1.5, "elapsed_s": 56.0}],
    }


RECORDS = {
    "tinyshakespeare": [make_record("tinyshakespeare", windowed_loss_nats=1.6)],
    "tinyshakespeare-best": [
        make_record("tinyshakespeare-best", seed=seed, windowed_loss_nats=1.6, dynamic_loss_nats=1.4) for seed in (2, 1)
    ],
    "minute": [make_record("minute")],
    "depth-at-start": [make_record("depth-at-start", "1 x 320", seed=seed, loss_nats=1.5 + seed) for seed in (1, 2)],
    "warpeace": [make_record("warpeace", "2 x 64", test_loss_nats=1.45)],
    "coherence": [
        make_record("coherence", "no resets", seed=seed, num_samples=14, num_unreadable=2, num_incoherent=3)
        for seed in (1, 2)
    ],
}


def test_page_has_the_tables_of_the_records() -> None:
    """docs/results.md is what scripts/write_results.py writes from the committed records."""
    records = write_results.read_records(ROOT / "docs" / "results" / "results.jsonl")
    assert write_results.format_page(PAGE, records) == PAGE


def test_page_has_every_group() -> None:
    """The page has a table and a command for each group that is measured."""
    assert list(measure_results.GROUPS) == list(write_results.TABLES) == list(RECORDS)
    assert [match[2] for match in write_results.MARKED.finditer(PAGE)] == list(write_results.TABLES)
    assert [name for name in write_results.TABLES if f"--only {name}\n" not in PAGE] == []
    assert [group.preset for group in measure_results.GROUPS.values() if f"`configs/{group.preset}`" not in PAGE] == []
    assert set(measure_results.GROUPS["warpeace"].models) == set(write_results.KARPATHY_NATS)


@pytest.mark.parametrize(
    ("group", "cells"),
    [
        (
            "tinyshakespeare",
            ["seed 1 | 12,345 | 1.5000 / 2.1640 | 1.6000 / 2.3083 | 1.0 | 2", "10,650,000 |  | 1.4697 / 2.1203"],
        ),
        ("tinyshakespeare-best", ["seed 2 | 12,345 | 1.5000 / 2.1640 | 1.6000 / 2.3083 | 1.4000 / 2.0198"]),
        ("minute", ["seed 1 | 12,345 | 2.0000 / 2.8854 | 60.0 | 2", "1.8740 / 2.7036 | 55 | 2"]),
        ("depth-at-start", ["1 x 320 | 12,345 | 2.0000 (2.0000 to 2.0000) | 3.0000 (2.5000 to 3.5000) | 4.3281 | 2"]),
        ("warpeace", ["2 x 64 | 12,345 | 1.5000 / 2.1640 | 1.4500 / 2.0919 | 1.4420 / 2.0804 | 1.0 | 1"]),
        ("coherence", ["a | no resets | 2 | 28 | 4 | 6 | 1.5000 (1.5000 to 1.5000)"]),
    ],
)  # fmt: skip
def test_tables(group: str, cells: list[str]) -> None:
    """Every table has the figures of its records, and those of others beside them; no other group has a table."""
    page = write_results.format_page(PAGE, RECORDS[group])
    rows = [" | ".join(cell.strip() for cell in line.strip("|").split("|")) for line in page.splitlines()]
    assert [cell for cell in cells if not any(cell in row for row in rows)] == []
    assert page.count(write_results.NOT_MEASURED) == len(write_results.TABLES) - 1
    assert "Measured with charlm 1, torch 2 and Python 3 on cpu (x86_64), bf16, kernel cpu, 2 threads." in page
    assert write_results.format_page(page, []) == write_results.format_page(PAGE, [])


def test_last_step_without_averaging() -> None:
    """The table has the loss of the last step's weights where the run kept an average."""
    record = make_record("tinyshakespeare", windowed_loss_nats=1.6)
    record["validations"][0]["trained_loss_nats"] = 1.9
    record["validations"][1]["trained_loss_nats"] = 1.7
    table = write_results.tabulate_shakespeare(write_results.select([record], "tinyshakespeare"))
    assert "last step, not averaged" in table
    assert "1.7000 / 2.4526" in table
    assert "dynamic" not in table


@pytest.mark.parametrize(("seconds", "loss"), [(31.9, None), (32.0, 2.0), (59.9, 2.0), (60.0, 1.5)])
def test_a_loss_counts_when_its_validation_has_ended(seconds: float, loss: float | None) -> None:
    """A validation ends its duration after its row's time, the last one with the run."""
    assert write_results.find_loss_within(make_record("minute"), seconds) == loss


def test_runs_of_a_former_configuration_are_not_shown() -> None:
    """Where a preset has changed, runs under its former values do not mix with the new ones, ordered by seed."""
    former, second, first = (make_record("minute", seed=seed) for seed in (1, 2, 1))
    former["run"]["config"] = {"train": {"seed": 1, "max_steps": 200}}
    assert write_results.select([former, second, first], "minute") == {("a.txt", "preset"): [first, second]}
