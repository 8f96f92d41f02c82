"""Every command in the README runs."""

import re
import shlex
from pathlib import Path

import pytest
from repository import ROOT

from charlm.cli import run

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SHORTER = {
    "init": ["--minutes", "0.01"],
    "train": ["--set", "train.max_steps=3", "--set", "model.hidden_size=8"],
    "compare-layers": ["--set", "train.max_steps=3", "--set", "model.hidden_size=8"],
}
"""Overrides that keep the commands short in the test."""


def charlm_commands() -> list[list[str]]:
    """Return the arguments of every charlm command in the README, in its order."""
    parts = [part for block in BLOCKS for line in block.splitlines() for part in line.split("&&")]
    commands = [shlex.split(part, comments=True) for part in parts]
    return [command[1:] for command in commands if command and command[0] == "charlm"]


def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All commands of the README succeed, one after another, in a directory with the repository's configurations."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    commands = charlm_commands()
    names = {"init", "train", "sample", "eval", "inspect", "export", "runs", "compare-layers"}
    assert {command[0] for command in commands} == names
    for command in commands:
        shorter = [] if "--resume" in command else SHORTER.get(command[0], [])
        assert run([*command, *shorter]) == 0, capsys.readouterr().err


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example in Python trains a short run and samples from it."""
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(example.replace("max_steps=200", "max_steps=3, batch_size=8"))  # noqa: S102
    assert capsys.readouterr().out.startswith("The ")


def test_set_up_commands_use_the_constraints() -> None:
    """Both commands that set up install the versions that the tests ran with."""
    set_ups = [line for block in BLOCKS for line in block.splitlines() if "pip install" in line]
    assert len(set_ups) == 2
    assert all("pip install -c constraints.txt" in line for line in set_ups)
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()
