"""Terminals, pipes and places that are not as usual."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.config import Config


@pytest.fixture
def command(config: Config, tmp_path: Path) -> list[str]:
    """Return the command of a short run in a directory with spaces and letters of many scripts."""
    place = tmp_path / "mój dom Ω 猫"
    place.mkdir()
    text = place / "a text.txt"
    text.write_bytes(Path(config.data.path).read_bytes())
    config = config.replace("data", path=str(text)).replace("train", max_steps=5)
    (place / "my config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    return [sys.executable, "-m", "charlm", "train", str(place / "my config.yaml"), "--out", str(place / "a run")]


def test_path_with_spaces_and_no_home(command: list[str], tmp_path: Path) -> None:
    """A run needs no HOME, and its paths may hold any letters."""
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "5 steps" in done.stdout


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams(command: list[str], closed: str) -> None:
    """A run whose standard streams are closed finishes, and nothing is printed into its files."""
    done = subprocess.run(["bash", "-c", f'"$@" {closed}', "bash", *command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    metrics = Path(command[-1]) / "metrics.jsonl"
    assert all(line.startswith('{"step"') for line in metrics.read_text().splitlines())


def test_stdout_without_room(command: list[str]) -> None:
    """A full disk behind stdout is a clear failure."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_cache(config: Config, tmp_path: Path) -> None:
    """A damaged corpus in the cache is encoded again, with one line on stderr, and the command goes on."""
    (tmp_path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "charlm", "train", str(tmp_path / "config.yaml"), "--dry-run"]
    environment = os.environ | {"CHARLM_CACHE_DIR": str(tmp_path / "cache")}

    def run() -> str:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr

    assert run() == ""
    [ids] = (tmp_path / "cache").glob("corpora/*/ids.bin")
    ids.write_bytes(ids.read_bytes()[::-1])
    said = run()
    assert said.startswith(f"warning: {ids.parent}: the encoding of {config.data.path} in the cache is damaged (")
    assert said.endswith("); the text is encoded again.\n")
    assert said.count("\n") == 1
    assert run() == ""
