"""A short run of scripts/torture_directory.py, and what it calls a broken rule."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from repository import ROOT, load_script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return load_script("torture_directory")


def test_no_damage_breaks_a_rule(script: ModuleType, tmp_path: Path) -> None:
    """Damaged files of a run directory are repaired with a warning, or refused with one message."""
    counts, broken = script.torture(tmp_path, cases=12, seed=3)
    assert broken == []
    assert sum(counts.values()) == 12


def print_nothing(_: list[str]) -> tuple[int, str, str]:
    """End with status 0 and without a warning."""
    return 0, "", ""


def fail(_: list[str]) -> tuple[int, str, str]:
    """End with a traceback."""
    return -1, "", "Traceback (most recent call last):"


def print_two_errors(_: list[str]) -> tuple[int, str, str]:
    """End with two messages."""
    return 2, "", "Error: a.\nError: b.\n"


def lose_best(arguments: list[str]) -> tuple[int, str, str]:
    """Overwrite the best model, and print one clear message."""
    (Path(arguments[-1]) / "best.pt").write_bytes(b"other")
    return 2, "", "Error: a.\n"


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (print_nothing, "broken: the result differs without a warning"),
        (fail, "broken: status -1"),
        (print_two_errors, "broken: the message is not clear"),
        (lose_best, "broken: best.pt is lost"),
    ],
)
def test_broken_rules_are_found(
    script: ModuleType, tmp_path: Path, run: Callable[[list[str]], tuple[int, str, str]], problem: str
) -> None:
    """A silent change, a traceback, an unclear message and a lost model each count as a broken rule."""
    (tmp_path / "best.pt").write_bytes(b"best")
    script.run_quietly = run
    originals = script.Originals(tmp_path, tmp_path, {}, {"sample": "text"})
    assert script.judge("sample", tmp_path, b"best", originals).startswith(problem)
