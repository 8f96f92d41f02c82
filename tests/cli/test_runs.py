"""charlm runs: the table, the JSON, what is refused, and what a thousand damaged directories do."""

import json
import math
import os
import shutil
from pathlib import Path

import pytest
from command_line import CharlmCommand, assert_mistake

from charlm.cli.completion import complete_filter
from charlm.cli.runs import ORDERS
from charlm.runs import selection


def test_table(charlm: CharlmCommand, run: Path, tmp_path: Path) -> None:
    """Each run is a line, with its size, text, steps, losses, time and state; the lowest loss is first."""
    worse = tmp_path / "worse"
    assert charlm("train", "--resume", "--out", worse, *few_steps(tmp_path)).status == 0
    (worse / "config.yaml").unlink()
    done = charlm("runs", tmp_path)
    [titles, first, second] = done.out.splitlines()
    assert titles.split("  ")[0] == "run"
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["split"] == "val"
    parts = [part for part in first.split("  ") if part.strip()]
    expected = [str(run), "2 x 12", None, str(tmp_path / "bottles.txt"), "30 of 30", None, None, None, "finished"]
    assert [part.strip() if want else None for part, want in zip(parts, expected, strict=True)] == expected
    nats, bits = float(parts[5]), float(parts[6])
    assert bits == pytest.approx(nats / math.log(2), abs=1e-3)
    assert second.startswith(str(worse))
    assert second.endswith("damaged")
    assert done.err == f"warning: {worse}/config.yaml: missing.\n"
    [_, only] = charlm("runs", tmp_path, "--filter", "state=finished").out.splitlines()
    assert only.startswith(str(run))


def few_steps(tmp_path: Path) -> list[str]:
    """Return the options of a shorter run of the small configuration."""
    return [str(tmp_path / "small.yaml"), "--set", "train.max_steps=2"]


def test_json(charlm: CharlmCommand, run: Path, tmp_path: Path) -> None:
    """The object has every run with its whole configuration; what is not known is null."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "last.pt").write_bytes(b"")
    done = charlm("runs", tmp_path, run, "--json")
    assert done.err == ""
    sound, broken = json.loads(done.out)["runs"]
    assert (sound["run"], sound["state"], sound["steps"], sound["last_step"]) == (str(run), "finished", 30, 30)
    assert sound["config"]["model"]["num_layers"] == 2
    assert sound["val_bits_per_char"] == pytest.approx(sound["val_loss_nats"] / math.log(2))
    assert (broken["state"], broken["config"], broken["val_loss_nats"], broken["elapsed_s"]) == ("damaged", *[None] * 3)
    assert len(broken["problems"]) == 2


def test_default_directory(charlm: CharlmCommand, run: Path) -> None:
    """Without DIR the runs are those below runs/; where there is none, a message on stderr says so."""
    Path("runs").mkdir()
    done = charlm("runs")
    assert (done.status, done.out, done.err) == (0, "", "There is no run in runs.\n")
    assert json.loads(charlm("runs", "--json").out) == {"runs": []}
    shutil.copytree(run, "runs/copy")
    assert charlm("runs").out.splitlines()[1].startswith("runs/copy ")
    assert len(charlm("runs", "runs", Path("runs").absolute()).out.splitlines()) == 2  # each run once
    done = charlm("runs", "--filter", "model.num_layers=3")
    assert (done.status, done.out, done.err) == (0, "", "None of the 1 runs is like that.\n")


def test_thousand_damaged_directories(charlm: CharlmCommand, run: Path, tmp_path: Path) -> None:
    """A thousand directories, each damaged in one of many ways, are a thousand lines, and five problems are named."""
    content = (run / "last.pt").read_bytes()
    for number in range(1000):
        broken = tmp_path / "all" / f"{number:03}"
        broken.mkdir(parents=True)
        damage(broken, number, content)
    done = charlm("runs", tmp_path / "all")
    assert done.status == 0
    lines = done.out.splitlines()
    assert len(lines) == 1001
    assert {line.split()[-1] for line in lines[1:]} == {"damaged"}
    assert len(done.err.splitlines()) == 6
    found = json.loads(charlm("runs", tmp_path / "all", "--json").out)["runs"]
    num_problems = sum(len(run["problems"]) for run in found)
    assert done.err.endswith(f"and {num_problems - 5:,} more problems; --json has all of them.\n")


def damage(directory: Path, number: int, content: bytes) -> None:
    """Put something damaged in the place of the files of a run."""
    kind, last = number % 8, directory / "last.pt"
    if kind == 0:
        last.write_bytes(content[: number * len(content) // 1000])
    elif kind == 1:
        last.write_bytes(os.urandom(number))
    elif kind == 2:
        last.mkdir()
    elif kind == 3:
        os.mkfifo(last)
    elif kind == 4:
        (directory / "metrics.jsonl").write_bytes(b"\xff" * number)
    elif kind == 5:
        (directory / "config.yaml").write_text("[" * number)
    elif kind == 6:
        last.write_bytes(content.replace(b"hidden_size", b"\x1b[31m\nsize", 1))
    else:
        (directory / "best.pt").symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere"], ["nowhere: cannot be searched for runs: No such file", "Give a directory"]),
        ([], ["runs: cannot be searched for runs"]),
        ([".", "--filter", "x"], ["--filter x: expected KEY=VALUE"]),
        ([".", "--sort", "age"], ["--sort", "'loss'"]),
    ],
)
def test_mistakes(charlm: CharlmCommand, arguments: list[str], parts: list[str]) -> None:
    """A directory, a filter or an order that does not exist is one message and exit status 2."""
    assert_mistake(charlm("runs", *arguments), *parts)


def test_lists_are_those_of_the_selection() -> None:
    """The orders of --sort and the states of the completion are those of the code that loads torch."""
    assert list(ORDERS) == list(selection.ORDERS)
    states = [item.value for item in complete_filter(None, None, "state=")]  # type: ignore[arg-type]
    assert states == [f"state={state}" for state in selection.STATES]
