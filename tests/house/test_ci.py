"""What is checked before a commit, in CI and of the installed package is one list."""

import itertools
import re
import tomllib

import yaml
from repository import ROOT

CHECKS = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_pre_commit_checks_what_ci_checks() -> None:
    """The hooks run the same commands as .ci/run does before the tests, with the tools that are installed."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    entries = {hook["entry"].replace(" --force-exclude", "") for hook in hooks}
    commands = {line.removesuffix(" .") for line in CHECKS if re.match(r"ruff|mypy|lint-imports", line)}
    assert len(commands) == 4
    assert entries == commands
    assert all(hook["language"] == "system" for hook in hooks)


def test_every_lower_bound_can_be_tried() -> None:
    """Each dependency has one lower bound, from which .ci/lowest makes a version."""
    dependencies = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["onnx"]
    assert [each for each in dependencies if not re.fullmatch(r"[a-z0-9]+>=[\d.]+", each)] == []


def test_every_dependency_is_pinned() -> None:
    """constraints.txt has a version of everything that charlm and its extras name."""
    named = [*PROJECT["dependencies"], *itertools.chain.from_iterable(PROJECT["optional-dependencies"].values())]
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[<>=\[]", each)[0].lower() for each in named} - pinned == set()


def test_torch_is_the_version_that_was_tried() -> None:
    """The bound of torch, which .ci/lowest does not try, is the version that the tests run with."""
    [bound] = [each for each in PROJECT["dependencies"] if each.startswith("torch>=")]
    assert f"{bound.replace('>=', '==')}.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_ci_keeps_its_hands_off_the_developers_environment() -> None:
    """The command of the README is found, and run in another directory than .venv."""
    assert [line for line in CHECKS if "rm -rf" in line] == ["trap 'rm -rf \"$scratch\"' EXIT"]
    assert 'eval "${install//.venv/"$scratch/checkout"}"' in CHECKS
