"""Terminals, pipes and places that are not as usual."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CharlmCommand, assert_mistake
from processes import assert_saved, wait_for_training, wait_until

from charlm.config import Config
from charlm.runs.directory import RunDirectory


@pytest.fixture
def endless(config: Config, tmp_path: Path) -> list[str]:
    """Return the command of a run that saves nothing but its start before it is stopped."""
    config = config.replace("train", max_steps=10**6, eval_every=10**6, checkpoint_every=10**6, log_every=1)
    (tmp_path / "endless.yaml").write_text(config.to_yaml())
    return [sys.executable, "-m", "charlm", "train", str(tmp_path / "endless.yaml"), "--out", str(tmp_path / "run")]


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


NO_TEXT = os.fsdecode(b"a/\xff")
"""A path that is not valid UTF-8, as Python reads it from the command line."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", NO_TEXT],
        ["train", "--out", NO_TEXT],
        ["train", "--out", "run", "--set", f"data.path={NO_TEXT}"],
        ["train", "--out", "run", "--set", f"train.init_from={NO_TEXT}"],
        ["init", "--out", NO_TEXT],
        ["sample", NO_TEXT],
        ["sample", "run", "--prompt-file", NO_TEXT],
        ["eval", NO_TEXT],
        ["inspect", NO_TEXT],
        ["inspect", "run", "--json", NO_TEXT],
        ["runs", NO_TEXT],
        ["export", "run", "--out", NO_TEXT],
        ["import", NO_TEXT, "--out", "run"],
        ["compare-layers", "--out", NO_TEXT],
        ["fetch", "text8", "--out", NO_TEXT],
    ],
    ids=" ".join,
)
def test_path_that_is_no_text(charlm: CharlmCommand, arguments: list[str]) -> None:
    """A path that is not valid UTF-8, which TensorBoard could not open, is refused before anything is done."""
    outcome = charlm(*arguments)
    assert_mistake(outcome, "UTF-8")
    assert os.listdir() == []  # noqa: PTH208  # the names alone


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


def test_stop_in_a_pipe_that_closed(endless: list[str], tmp_path: Path) -> None:
    """Ctrl-C also ends the reader of the progress, as in 2>&1 | tee log; the state is saved all the same."""
    process = subprocess.Popen(endless, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_training(tmp_path / "run")
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert_saved(tmp_path / "run")


def test_closed_terminal(endless: list[str], tmp_path: Path) -> None:
    """A terminal that is closed ends the run with the state saved, although nothing can be shown any more."""
    master, slave = os.openpty()
    process = subprocess.Popen(endless, preexec_fn=lambda: os.login_tty(slave))  # noqa: PLW1509  # there are no threads
    os.close(slave)
    wait_for_training(tmp_path / "run")
    os.close(master)
    assert process.wait(120) == 128 + signal.SIGHUP
    assert_saved(tmp_path / "run")


def test_stopped_and_continued(endless: list[str], tmp_path: Path) -> None:
    """Ctrl-Z stops a run, and fg lets it go on; a SIGTERM that came meanwhile saves its state then."""
    process = subprocess.Popen(endless, process_group=0, stderr=subprocess.DEVNULL)
    wait_for_training(tmp_path / "run")
    os.killpg(process.pid, signal.SIGTSTP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGCONT)
    assert process.wait(120) == 143
    assert_saved(tmp_path / "run")


def test_background_job(endless: list[str], tmp_path: Path) -> None:
    """A run that was started with SIGINT or SIGHUP ignored, as by a script or nohup, is not ended by them."""
    ignored = (signal.SIGINT, signal.SIGHUP)

    def ignore() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    process = subprocess.Popen(endless, preexec_fn=ignore, stderr=subprocess.DEVNULL)  # noqa: PLW1509
    wait_for_training(tmp_path / "run")
    for number in ignored:
        process.send_signal(number)
    num_rows = len(RunDirectory(tmp_path / "run").read_rows())
    wait_until(lambda: len(RunDirectory(tmp_path / "run").read_rows()) > num_rows + 5)
    assert process.poll() is None
    process.terminate()
    assert process.wait(120) == 143
    assert_saved(tmp_path / "run")
