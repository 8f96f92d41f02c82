"""``--json``: one object on stdout, everything else on stderr."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import CharlmCommand, Outcome, assert_mistake
from repository import ROOT

from charlm.cli.json_output import print_json
from charlm.runs.checkpoint import load_checkpoint


def parse(outcome: Outcome) -> dict[str, Any]:
    """Return the object that a command printed, which is all that is on stdout."""
    assert outcome.out.count("\n") == 1
    values = json.loads(outcome.out, parse_constant=pytest.fail)
    assert isinstance(values, dict)
    return values


def documented_keys(command: str) -> set[str]:
    """Return the keys that docs/json.md lists for a command."""
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## charlm {command} --json\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_train(charlm: CharlmCommand, config_file: Path) -> None:
    """Training prints its result as one object; the progress is on stderr as always."""
    outcome = charlm("train", config_file, "--json")
    assert outcome.status == 0
    assert "step 30/30  val loss" in outcome.err
    values = parse(outcome)
    best = load_checkpoint(Path("runs/small/best.pt"))
    assert (values["out"], values["steps"], values["num_chars"]) == ("runs/small", 30, 1920)
    assert (values["val_loss_nats"], values["best_step"]) == (best.loss_nats, best.step)
    assert values["val_bits_per_char"] == pytest.approx(values["val_loss_nats"] / math.log(2))
    parameters = values["num_parameters"]
    assert list(parameters) == ["embedding", "layer_1", "layer_2", "output", "whole"]
    assert parameters["whole"] == sum(parameters.values()) / 2
    assert values["baselines_bits"]["uniform"] > values["baselines_bits"]["unigram"]


def test_dry_run(charlm: CharlmCommand, config_file: Path) -> None:
    """A dry run prints sizes, memory and speed as one object and writes nothing."""
    outcome = charlm("train", config_file, "--dry-run", "--json")
    assert outcome.status == 0
    values = parse(outcome)
    assert values["shortage"] is None
    assert values["chars_per_s"] * values["duration_s"] == pytest.approx(30 * 4 * 16)
    assert set(values["memory_bytes"]) == {"weights_gradients_optimizer", "activations_of_a_step"}
    assert set(values["split_num_chars"]) == {"train", "val", "test"}
    assert all(set(row) == {"symbol", "count"} for row in values["rarest"])
    assert list(Path.cwd().iterdir()) == []


def test_dry_run_of_a_model_that_is_too_large(charlm: CharlmCommand, config_file: Path) -> None:
    """A run that does not fit the memory is printed, with the reason in the object and on stderr, and status 2."""
    outcome = charlm("train", config_file, "--dry-run", "--json", "--set", "model.hidden_size=1000000")
    assert outcome.status == 2
    values = parse(outcome)
    assert values["chars_per_s"] is None
    assert outcome.err == f"Error: {values['shortage']}\n"


def test_sample(charlm: CharlmCommand, run: Path) -> None:
    """Samples come as a list with the options, the run and the step; they equal those that are printed as text."""
    options = ["--prompt", "9 green", "--length", 20, "--temperature", 0.5, "--top-k", 4, "--stop", "zz"]
    outcome = charlm("sample", run, *options, "--seed", 3, "--num-samples", 2, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    values = parse(outcome)
    texts = values.pop("texts")
    assert values == {
        "prompt": "9 green",
        "seed": 3,
        "temperature": 0.5,
        "top_k": 4,
        "top_p": None,
        "length": 20,
        "num_samples": 2,
        "stop": "zz",
        "on_unknown": "error",
        "run": str(run),
        "step": load_checkpoint(run / "best.pt").step,
    }
    printed = charlm("sample", run, *options, "--seed", 3, "--num-samples", 2).out
    assert printed == "".join(f"=== sample {n} of 2 ===\n{text}\n" for n, text in enumerate(texts, start=1))


def test_sample_names_the_seed_that_was_drawn(charlm: CharlmCommand, run: Path) -> None:
    """Without --seed the object has the seed that was drawn; the same seed makes the same text."""
    first, second = (parse(charlm("sample", run, "--json", "--temperature", 1)) for _ in range(2))
    assert first["seed"] != second["seed"]
    assert max(first["seed"], second["seed"]) < 2**53
    assert parse(charlm("sample", run, "--json", "--temperature", 1, "--seed", first["seed"])) == first


def test_greedy_is_temperature_zero(charlm: CharlmCommand, run: Path) -> None:
    """The object names the temperature that was used."""
    assert parse(charlm("sample", run, "--greedy", "--length", 3, "--json"))["temperature"] == 0


def test_an_endless_stream_is_no_object(charlm: CharlmCommand, run: Path) -> None:
    """--length 0 with --json is refused with the remedy."""
    assert_mistake(charlm("sample", run, "--length", 0, "--json"), "--length 0", "leave --json out")


@pytest.mark.parametrize("command", ["train", "sample", "eval"])
def test_a_mistake_leaves_stdout_empty(charlm: CharlmCommand, command: str) -> None:
    """A command that is refused prints no object."""
    assert_mistake(charlm(command, "nowhere.yaml", "--json"), "nowhere.yaml")


def test_the_page_lists_every_key(charlm: CharlmCommand, run: Path, config_file: Path) -> None:
    """docs/json.md has the keys of each object and no others."""
    commands = {
        "train": ("train", "--out", run, "--resume"),
        "train --dry-run": ("train", config_file, "--dry-run"),
        "sample": ("sample", run, "--length", 2),
        "eval": ("eval", run, "--dynamic"),
    }
    keys = {name: set(parse(charlm(*arguments, "--json"))) for name, arguments in commands.items()}
    [summary] = parse(charlm("runs", run, "--json"))["runs"]
    assert documented_keys("runs") == set(summary)
    assert {name: documented_keys(name) for name in commands} == keys


def test_numbers_that_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    """Infinity and NaN become null, at any depth."""
    print_json({"a": math.inf, "b": [math.nan, 1.5], "c": {"d": -math.inf, "e": "x"}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": {"d": None, "e": "x"}}
