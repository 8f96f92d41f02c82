"""Shell completion, as the scripts that the shells load ask for it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.config import Config
from charlm.runs.directory import RunDirectory

Complete = Callable[..., list[str]]

ALL_RUNS = ["runs/deep", "runs/fresh", "single"]


@pytest.fixture(autouse=True)
def _directory_with_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory with three runs, one of which has saved nothing yet, and with two other directories."""
    for name in ("runs/deep/best.pt", "runs/deep/last.pt", "single/last.pt", "runs/fresh/metrics.jsonl", "docs/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "runs" / "empty").mkdir()
    monkeypatch.chdir(tmp_path)


def run_charlm(instruction: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run charlm as a shell does that asks it for a script or for candidates."""
    environment = os.environ | {"_CHARLM_COMPLETE": instruction} | variables
    command = [sys.executable, "-m", "charlm"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def complete_in_bash(*words: str) -> list[str]:
    """Return the type and value of each candidate for the last word, bash having split words at = and : ."""
    done = run_charlm("bash_complete", COMP_WORDS="\n".join(["charlm", *words]), COMP_CWORD=str(len(words)))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def complete_in_zsh(*words: str) -> list[str]:
    """Return the type and value of each candidate for the last word."""
    done = run_charlm("zsh_complete", COMP_WORDS=" ".join(["charlm", *words]), COMP_CWORD=str(len(words)))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    return [f"{kind},{value}" for kind, value in zip(lines[::3], lines[1::3], strict=True)]


def complete_in_fish(*words: str) -> list[str]:
    """Return the type and value of each candidate for the last word."""
    done = run_charlm("fish_complete", COMP_WORDS=" ".join(["charlm", *words]), COMP_CWORD=words[-1])
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


in_every_shell = pytest.mark.parametrize(
    "complete", [complete_in_bash, complete_in_zsh, complete_in_fish], ids=["bash", "zsh", "fish"]
)


@pytest.mark.parametrize(("shell", "part"), [("bash", "nospace"), ("zsh", 'compadd -U -S ""'), ("fish", "complete")])
def test_script(shell: str, part: str) -> None:
    """Each shell gets its script, in which a key is completed without a space behind its = sign."""
    done = run_charlm(f"{shell}_source")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_CHARLM_COMPLETE={shell}_complete" in done.stdout
    assert part in done.stdout


@pytest.mark.parametrize("instruction", ["tcsh_source", "bash", "bash_install"])
def test_unknown_instruction(instruction: str) -> None:
    """Another value of the variable is refused with the values that it can have."""
    done = run_charlm(instruction)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: _CHARLM_COMPLETE={instruction}: expected bash_source, zsh_source or fish_source.\n"


@in_every_shell
def test_commands_and_options(complete: Complete) -> None:
    """Commands and the options of a command are completed."""
    assert complete("s") == ["plain,sample"]
    assert complete("train", "--dry") == ["plain,--dry-run"]


@in_every_shell
@pytest.mark.parametrize("command", ["sample", "eval"])
def test_runs(complete: Complete, command: str) -> None:
    """RUN is completed with the directories that hold a run, also below a directory that holds none."""
    assert complete(command, "r") == ["plain,runs/deep", "plain,runs/fresh"]
    assert complete(command, "./si") == ["plain,./single"]


def test_runs_from_nothing() -> None:
    """Before anything is typed all runs are candidates."""
    assert complete_in_bash("sample", "") == [f"plain,{run}" for run in ALL_RUNS]


def test_checkpoints_and_other_files() -> None:
    """Inside a run its checkpoints are candidates; where there is no run the shell completes files."""
    assert complete_in_bash("sample", "runs/deep/") == ["plain,runs/deep/best.pt", "plain,runs/deep/last.pt"]
    assert complete_in_bash("sample", "docs/") == ["file,docs/"]


@in_every_shell
def test_out_with_resume(complete: Complete) -> None:
    """--out is completed with runs after --resume, and with any directory without it."""
    assert complete("train", "--resume", "--out", "ru") == ["plain,runs/deep", "plain,runs/fresh"]
    assert complete("train", "--out", "ru") == ["dir,ru"]


def test_keys() -> None:
    """--set is completed with every key of the configuration, ready for its value."""
    keys = [f"{section}.{key}" for section, group in Config() for key in type(group).model_fields]
    assert complete_in_bash("train", "--set", "") == [f"open,{key}=" for key in keys]
    assert complete_in_zsh("train", "--set", "train.k") == ["open,train.keep=", "open,train.kernel="]
    assert complete_in_fish("train", "--set", "train.k") == ["plain,train.keep=", "plain,train.kernel="]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--set", "train.kernel", "="], ["auto", "cpu", "torch", "reference"]),
        (["--set", "train.kernel", "=", "c"], ["cpu"]),
        (["--set", "=", "train.kernel", "=", "c"], ["cpu"]),
        (["--set", "data.level", "=", "byte", "--set", "train.precision", "=", "b"], ["bf16"]),
        (["--set", "train.init_from", "=", "si"], ["single"]),
        (["--set", "model.hidden_size", "="], []),
        (["--set", "train.colonel", "="], []),
    ],
)
def test_values_in_bash(words: list[str], values: list[str]) -> None:
    """After a key with a list of values those are candidates; bash replaces only the text after the = sign."""
    assert complete_in_bash("train", *words) == [f"plain,{value}" for value in values]


@pytest.mark.parametrize("complete", [complete_in_zsh, complete_in_fish], ids=["zsh", "fish"])
def test_values_in_other_shells(complete: Complete) -> None:
    """Zsh and fish replace the whole word."""
    assert complete("compare-layers", "--set", "train.kernel=c") == ["plain,train.kernel=cpu"]


def test_a_joined_option_in_bash() -> None:
    """--out=DIRECTORY is completed like --out DIRECTORY."""
    assert complete_in_bash("train", "--resume", "--out", "=", "si") == ["plain,single"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_in_bash(tmp_path: Path) -> None:
    """Bash loads the script, and its function offers what charlm answers."""
    (tmp_path / "charlm").write_text(f'#!/bin/sh\nexec {sys.executable} -m charlm "$@"\n')
    (tmp_path / "charlm").chmod(0o755)
    script = """
        source <(_CHARLM_COMPLETE=bash_source ./charlm)
        complete -p charlm
        COMP_WORDS=(./charlm train --set train.kernel = "") COMP_CWORD=4
        _charlm_completion ./charlm
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "complete -o nosort -F _charlm_completion charlm", "auto", "cpu", "torch", "reference"
    ]  # fmt: skip


def test_completion_loads_nothing_heavy() -> None:
    """Completing a run and a value loads neither torch nor TensorBoard, so that it answers at once."""
    check = """
import os, sys
from charlm.cli import cli
from charlm.cli.completion import complete
for words in ("charlm sample r", "charlm train --set train.k"):
    os.environ |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    assert complete(cli, "zsh_complete") == 0
print([name for name in ("torch", "tensorboard", "numpy") if name in sys.modules])
"""
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert "runs/deep" in output
    assert "train.kernel=" in output
    assert output.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["best.pt", "last.pt", "metrics.jsonl"])
def test_files_that_make_a_run(tmp_path: Path, name: str) -> None:
    """Completion and training use the same definition of a run directory."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).touch()
    assert RunDirectory(tmp_path / "run").has_run
    assert "plain,run" in complete_in_bash("sample", "r")
