"""Fixtures that run commands."""

from pathlib import Path

import pytest
from command_line import CharlmCommand, Outcome

from charlm.cli import run as run_command_line
from charlm.config import Config


@pytest.fixture
def charlm(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CharlmCommand:
    """Return a function that runs a command line in an empty directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = run_command_line([str(argument) for argument in arguments])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def config_file(config: Config, tmp_path: Path) -> Path:
    """Return a YAML file with the small configuration."""
    (tmp_path / "small.yaml").write_text(config.to_yaml())
    return tmp_path / "small.yaml"


@pytest.fixture
def run(charlm: CharlmCommand, config_file: Path, tmp_path: Path) -> Path:
    """Return the directory of a finished run."""
    assert charlm("train", config_file, "--out", tmp_path / "run").status == 0
    return tmp_path / "run"
