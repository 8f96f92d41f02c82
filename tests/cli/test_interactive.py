"""charlm sample --interactive: in a pipe, and in a real terminal with its keys."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CharlmCommand, Outcome, assert_mistake, in_subprocess
from texts import TEXT

import charlm as library
from charlm.inference.trained import TrainedModel

TIMEOUT_S = 60.0

IN_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal sends its signals to this process
from charlm.cli import main
main()
"""


@pytest.fixture
def trained(run: Path) -> TrainedModel:
    """Return the model of the run."""
    return library.load(run)


@pytest.fixture
def talk(charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch) -> CharlmCommand:
    """Return a function that pipes lines into a dialogue."""

    def pipe(text: str | bytes, *options: object) -> Outcome:
        data = text.encode() if isinstance(text, str) else text
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        return charlm("sample", run, "--interactive", *options)

    return pipe


def test_turns_of_a_pipe(talk: CharlmCommand, trained: TrainedModel) -> None:
    """Each line is continued from all that came before, with the next seed; stdout has what the model wrote."""
    done = talk("9 green\n\n bottles\n", "--seed", 7, "--length", 12)
    first = trained.sample("9 green", length=12, seed=7)
    second = trained.sample(first, length=12, seed=8)
    third = trained.sample(second + " bottles", length=12, seed=9)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{first[7:]}\n{second[19:]}\n{third[39:]}\n"


def test_prompt_and_options(talk: CharlmCommand, trained: TrainedModel) -> None:
    """The prompt is the first history, and the options hold for every turn."""
    done = talk("\n/history\n", "--prompt", "8 gr", "--greedy", "--length", 30, "--stop", "wall")
    written = trained.sample("8 gr", length=30, temperature=0, stop="wall")
    assert done.out == f"{written[4:]}\n{written}\n"


def test_settings_change(talk: CharlmCommand, trained: TrainedModel) -> None:
    """Temperature, seed and length change from the next turn on."""
    done = talk("/temperature 0\n/length 9\n5 gr\n/clear\n/temperature 0.9\n/seed 3\n5 gr\n/history\n")
    last = trained.sample("5 gr", length=9, temperature=0.9, seed=3)
    assert done.out == f"{trained.sample('5 gr', length=9, temperature=0)[4:]}\n{last[4:]}\n{last}\n"


def test_history_changes(talk: CharlmCommand, trained: TrainedModel) -> None:
    r"""The history can be replaced, taken back and tried again; ``\n`` is a line break and // a slash."""
    done = talk("/history on the\\n\\\\n wall\n/history\n", "--length", 5)
    assert done.out == "on the\n\\n wall\n"
    done = talk("7 gr\n/retry\n/undo\n/history\n/undo\n", "--length", 5, "--seed", 4)
    tries = [trained.sample("7 gr", length=5, seed=seed)[4:] for seed in (4, 5)]
    assert tries[0] != tries[1]
    assert (done.status, done.out) == (2, f"{tries[0]}\n{tries[1]}\n\n")
    assert done.err == "Error: there is no turn to take back.\n"
    assert_mistake(talk("//\n"), "'/' (U+002F SOLIDUS)")


def test_the_seed_after_the_largest_is_zero(talk: CharlmCommand, trained: TrainedModel) -> None:
    """The largest seed can be given, and the turn after it has the seed 0."""
    done = talk("/seed 9223372036854775807\n9\n\n", "--length", 5)
    first = trained.sample("9", length=5, seed=2**63 - 1)
    second = trained.sample(first, length=5, seed=0)
    assert (done.status, done.out) == (0, f"{first[1:]}\n{second[6:]}\n")


@pytest.mark.parametrize("command", ["/clear", "/history 8 gr"])
def test_a_new_text_has_no_turns(talk: CharlmCommand, command: str) -> None:
    """Once the text is replaced, the turns of the former one cannot be taken back."""
    done = talk(f"9\n{command}\n/undo\n", "--length", 3)
    assert (done.status, done.err) == (2, "Error: there is no turn to take back.\n")


def test_blanks_at_the_end_of_a_line(talk: CharlmCommand, trained: TrainedModel) -> None:
    """They are part of a text, but not of /quit."""
    done = talk("9 gr \n/quit \n9\n", "--seed", 1, "--length", 5)
    assert (done.status, done.out) == (0, f"{trained.sample('9 gr ', length=5, seed=1)[5:]}\n")


def test_help_has_the_present_values(talk: CharlmCommand) -> None:
    """The commands are listed on stderr with the present settings; /quit ends before the next line."""
    done = talk("/temperature 0.25\n/help\n/quit\n9\n", "--seed", 11, "--length", 3)
    assert (done.status, done.out) == (0, "")
    for part in ("now 0.25;", "now 11;", "now 3;", r"\n in it is a line break", "/retry", "/quit"):
        assert part in done.err


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/temp 3\n", ["/temp: there is no such command", "//temp is a text"]),
        ("/temperature hot\n", ["/temperature: expected a number of at least 0, got 'hot'"]),
        ("/temperature -1\n", ["temperature: expected a number of at least 0, got -1"]),
        ("/seed -1\n", ["/seed: expected a whole number from 0 to 9,223,372,036,854,775,807, got '-1'"]),
        ("/length 1e3\n", ["/length: expected a whole number", "'1e3'"]),
        ("/length ٣\n", ["/length: expected a whole number"]),
        ("ж\n", ["not in the vocabulary", "U+0436"]),
        (b"\xff\n", ["not in the vocabulary", "U+DCFF"]),
        ("/retry\n", ["there is no turn to take back"]),
    ],
)
def test_wrong_lines_of_a_pipe(talk: CharlmCommand, text: str | bytes, parts: list[str]) -> None:
    """In a pipe a wrong line ends the command with one message and exit status 2."""
    assert_mistake(talk(text), *parts)


def test_long_line(talk: CharlmCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is refused instead of filling the memory; one of the largest length is not."""
    monkeypatch.setattr("charlm.cli.interactive.MAX_PROMPT_BYTES", 10)
    assert talk("9 green b\n", "--length", 3).status == 0
    assert_mistake(talk("x" * 11 + "\n"), "a line has more than 10 characters")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--json"], "leave --num-samples and --json out"),
        (["--num-samples", "2"], "leave --num-samples and --json out"),
        (["--prompt", "-"], "the prompt cannot come from it"),
        (["--prompt-file", "-"], "the prompt cannot come from it"),
    ],
)
def test_options_that_exclude_it(talk: CharlmCommand, options: list[str], part: str) -> None:
    """What does not go together is refused."""
    assert_mistake(talk("9\n", *options), f"--interactive: {'reads' if '-' in options else 'writes'}", part)


class Terminal:
    """A dialogue in a pseudo-terminal."""

    def __init__(self, *arguments: object) -> None:
        self._keys, other = pty.openpty()
        command = [sys.executable, "-c", IN_TERMINAL, *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=os.environ | {"TERM": "dumb"}, start_new_session=True
        )
        os.close(other)

    def read_to(self, end: str) -> str:
        """Return what the terminal shows up to a text."""
        shown, gives_up_at_s = b"", time.monotonic() + TIMEOUT_S
        while not shown.decode(errors="replace").endswith(end):
            ready, _, _ = select.select([self._keys], [], [], max(0.0, gives_up_at_s - time.monotonic()))
            assert ready, f"waited for {end!r} after {shown!r}"
            shown += os.read(self._keys, 65536)
        return shown.decode(errors="replace").replace("\r\n", "\n")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._keys, keys.encode())

    def wait(self) -> int:
        """Return the exit status."""
        return self._process.wait(TIMEOUT_S)

    def close(self) -> None:
        """End the process if it is still there."""
        self._process.kill()
        self._process.wait()
        os.close(self._keys)


@pytest.fixture
def terminal(charlm: CharlmCommand, config_file: Path, corpus_path: Path, tmp_path: Path) -> Iterator[Terminal]:
    """Return a dialogue with a model that knows an escape character, which stands in its prompt."""
    corpus_path.write_text(f"{TEXT}\x1b[31m")
    assert charlm("train", config_file, "--out", tmp_path / "coloured").status == 0
    opened = Terminal("sample", tmp_path / "coloured", "--interactive", "--prompt", "\x1b[31", "--seed", 1)
    yield opened
    opened.close()


def test_terminal(terminal: Terminal) -> None:
    """In a terminal lines are edited, mistakes do not end it, Ctrl-C stops a turn or drops a line, Ctrl-D ends."""
    assert "Type a text, and the model goes on with it." in terminal.read_to("> ")
    terminal.press("/length 12\n")
    terminal.read_to("> ")
    terminal.press("/history\n")
    assert r"\x1b[31" in terminal.read_to("> ").splitlines()
    terminal.press("Ж\n")
    assert "Error: these characters are not in the vocabulary" in terminal.read_to("> ")
    terminal.press("9 grx\x7feen\n")  # Backspace
    assert "\x1b[31" not in terminal.read_to("> ")
    terminal.press("/history\n")
    assert any(line.startswith(r"\x1b[319 green") for line in terminal.read_to("> ").splitlines())
    terminal.press("half a line")
    terminal.read_to("half a line")
    time.sleep(0.5)  # Python sees a signal that comes while readline handles a key only at the next key
    terminal.press("\x03")
    assert "/quit or Ctrl-D ends." in terminal.read_to("> ")
    terminal.press("/length 0\n")
    terminal.read_to("> ")
    terminal.press("\n")
    time.sleep(0.5)
    terminal.press("\x03")
    assert len(terminal.read_to("> ")) > 100
    terminal.press("\x04")
    assert terminal.wait() == 0


def test_a_terminal_whose_output_goes_elsewhere(run: Path, trained: TrainedModel) -> None:
    """If only the input is a terminal, stdout has what the model wrote and no prompt."""
    keys, other = pty.openpty()
    command = [sys.executable, "-m", "charlm", "sample", str(run), "--interactive", "--greedy", "--length", "5"]
    with subprocess.Popen(command, stdin=other, stdout=subprocess.PIPE, stderr=other, text=True) as process:
        os.write(keys, b"9\n\x04")
        out, _ = process.communicate(timeout=TIMEOUT_S)
    os.close(keys)
    os.close(other)
    assert (process.returncode, out) == (0, f"{trained.sample('9', length=5, temperature=0)[1:]}\n")


def test_ctrl_c_without_a_terminal(run: Path) -> None:
    """SIGINT ends a dialogue that reads a pipe, as it ends any command."""
    with in_subprocess("sample", run, "--interactive", "--length", 3, stdin=-1) as process:
        process.stdin.write("9\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
