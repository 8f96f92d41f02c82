"""charlm train --set train.init_from=RUN as a user types it."""

import io
import json
import pickle
from pathlib import Path

import pytest
import torch
from command_line import CharlmCommand, assert_mistake

from charlm.config import Config
from charlm.runs.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def arguments(run: Path, tmp_path: Path) -> list[str]:
    """Return the arguments of a run that begins with a finished one, on another text."""
    (tmp_path / "other.txt").write_text("Grüße: 3 große Bären äßen 30 Öfen; groß und größer.\n" * 60, encoding="utf-8")
    settings = {
        "train.init_from": run, "data.path": tmp_path / "other.txt", "train.max_steps": 8, "train.batch_size": 4,
        "train.seq_length": 16, "train.device": "cpu", "train.precision": "fp32", "sample.length": 20,
    }  # fmt: skip
    return ["train", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


def test_one_table_says_what_changed(charlm: CharlmCommand, arguments: list[str], run: Path) -> None:
    """Before training, one table on stderr has the base and each value that differs, and stdout has the result."""
    outcome = charlm(*arguments, "--out", "next")
    assert outcome.status == 0
    lines = outcome.err.splitlines()
    base = load_checkpoint(run / "best.pt")
    assert lines[0].startswith(f"beginning with the model of {run}: step {base.step}, validation loss ")
    table = lines[: next(number for number, line in enumerate(lines) if line.startswith("starting: "))]
    assert table[1].split() == ["base", "this", "run"]
    rows = {line[: line.index("  ", 4)].strip(): line for line in table[2:]}
    assert rows["train.max_steps"].split()[1:] == ["30", "8"]
    assert rows["model.dropout"].split()[1:] == ["0.2", "0.0"]
    assert "with the weights of the base" in rows["symbols"]
    assert "'ß'" in rows["new"]
    assert rows["not in the text"].endswith("stay known")
    assert "model.hidden_size" not in rows
    assert "step 0/8  val loss" in outcome.err
    assert outcome.out.startswith("next: 8 steps")


def test_resume(charlm: CharlmCommand, arguments: list[str]) -> None:
    """The run resumes with its own configuration, without the table."""
    assert charlm(*arguments, "--out", "next").status == 0
    outcome = charlm("train", "--out", "next", "--resume", "--set", "train.max_steps=10")
    assert outcome.status == 0
    assert "beginning with" not in outcome.err
    assert outcome.out.startswith("next: 10 steps")


def test_dry_run(charlm: CharlmCommand, arguments: list[str], run: Path) -> None:
    """A dry run prints the table on stdout, or an object in JSON, and writes nothing."""
    outcome = charlm(*arguments, "--dry-run")
    assert outcome.status == 0
    assert outcome.out.startswith(f"beginning with the model of {run}: ")
    told = json.loads(charlm(*arguments, "--dry-run", "--json").out)
    assert told["base"]["path"] == str(run)
    assert told["base"]["settings"]["train.max_steps"] == [30, 8]
    assert told["vocabulary_size"] == told["base"]["num_symbols"][1]
    assert told["num_parameters"]["whole"] == told["base"]["num_parameters"][1]
    assert list(Path.cwd().iterdir()) == []


def test_dropped_symbols(charlm: CharlmCommand, arguments: list[str]) -> None:
    """With data.vocabulary=text the table says that what the text lacks is dropped."""
    outcome = charlm(*arguments, "--dry-run", "--set", "data.vocabulary=text")
    [line] = [line for line in outcome.out.splitlines() if "not in the text" in line]
    assert line.endswith("dropped")


class Harmful:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harmed"),)


def to_bytes(content: object) -> bytes:
    """Return the file that torch saves."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


BASES = {
    "nothing there": None,
    "empty file": b"",
    "text": b"To be, or not to be\n",
    "pickle": pickle.dumps(Harmful()),
    "harmful": to_bytes(Harmful()),
    "other weights": to_bytes({"embedding.weight": torch.zeros(3, 2)}),
}


@pytest.mark.parametrize("name", BASES)
def test_a_base_that_is_no_model(charlm: CharlmCommand, arguments: list[str], tmp_path: Path, name: str) -> None:
    """A path without a model is one message; nothing is written, and nothing in it is executed."""
    if (content := BASES[name]) is not None:
        (tmp_path / "base.pt").write_bytes(content)
    outcome = charlm(*arguments, "--set", f"train.init_from={tmp_path / 'base.pt'}")
    assert_mistake(outcome, f"train.init_from: {tmp_path / 'base.pt'}: ")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("name", ["", "samples", "metrics.jsonl", "config.yaml"])
def test_another_path_of_a_run(charlm: CharlmCommand, arguments: list[str], run: Path, name: str) -> None:
    """A directory of runs, or another file of a run, is refused with what to give instead."""
    path = run / name if name else run.parent
    outcome = charlm(*arguments, "--set", f"train.init_from={path}")
    assert_mistake(outcome, f"train.init_from: {path}", "Give a run" if name != "samples" else "holds no checkpoint")


def test_every_misfit_in_one_message(charlm: CharlmCommand, arguments: list[str]) -> None:
    """Other sizes and another level are refused together, before anything is written."""
    sizes = ("--set", "model.hidden_size=13", "--set", "model.num_layers=1", "--set", "data.level=byte")
    assert_mistake(charlm(*arguments, *sizes), "3 problems", "hidden_size: expected 12", "data.level: expected 'char'")
    assert list(Path.cwd().iterdir()) == []


def test_a_base_whose_checkpoints_are_all_damaged(charlm: CharlmCommand, arguments: list[str], run: Path) -> None:
    """A damaged run is no base."""
    for path in run.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:200])
    assert_mistake(charlm(*arguments), "train.init_from: all checkpoints of the run are damaged.")


def test_a_changed_base(charlm: CharlmCommand, arguments: list[str], run: Path) -> None:
    """A run does not resume from a base that has changed, and a configuration with its digest does not begin."""
    assert charlm(*arguments, "--out", "next").status == 0
    base = load_checkpoint(run / "best.pt")
    base.weights["output.bias"][0] += 1
    save_checkpoint(base, run / "best.pt")
    assert_mistake(charlm("train", "--out", "next", "--resume"), f"train.init_from: {run} has changed")
    assert_mistake(charlm("train", "next/config.yaml", "--out", "again"), "another model than the configuration says")
    assert not Path("again").exists()
    assert charlm("train", "--out", "next", "--resume", "--set", "train.init_from=").status == 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["data.vocabulary=text"], "data.vocabulary: 'text' has no effect: there is no train.init_from. Omit the key."),
        (["data.vocabulary=all"], "data.vocabulary: expected one of union, text, got 'all'."),
        (["train.init_digest=abc"], "train.init_digest: expected 64 hexadecimal digits, or empty, got 'abc'."),
        (["train.init_from=3"], "train.init_from: 3: there is no such checkpoint."),
        (
            ["train.init_from=a", "data.level=byte", "data.vocabulary=text"],
            "data.vocabulary: 'text' has no effect: a model of bytes has all 256 symbols. Omit the key.",
        ),
    ],
)
def test_keys_out_of_place(charlm: CharlmCommand, settings: list[str], problem: str) -> None:
    """A key that has no effect, or a wrong value, is refused."""
    words = [word for setting in settings for word in ("--set", setting)]
    assert_mistake(charlm("train", *words), problem)


def test_a_comparison_has_no_base(charlm: CharlmCommand, config: Config, run: Path, config_file: Path) -> None:
    """compare-layers refuses a base, because its arms have other sizes."""
    outcome = charlm("compare-layers", config_file, "--layers", "1,2", "--set", f"train.init_from={run}")
    assert_mistake(outcome, "train.init_from: expected no base in a comparison")
