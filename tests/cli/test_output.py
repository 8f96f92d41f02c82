"""What reaches a terminal: no message of any command, and by default no sample, holds a control character."""

import os
import pty
import re
import sys
import warnings
from pathlib import Path

import click
import pytest
import torch
from command_line import CharlmCommand
from hypothesis import given
from hypothesis import strategies as st
from terminal import drain

from charlm.cli import main
from charlm.cli.output import escape_controls, show_mistake
from charlm.cli.progress import ProgressReporter
from charlm.config import Config
from charlm.model import CharLM
from charlm.runs.checkpoint import Checkpoint, save_checkpoint
from charlm.text.vocabulary import Vocabulary

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""All control characters but the line break."""

HOSTILE = "a\x1b[31m\x07\x9b2J\x7f\r\t\u202eb\u2066"
"""Changes the color, rings, clears the screen, goes back to the start of the line, and reverses what follows."""


@given(st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE)), max_size=30))
def test_escaped_text_has_no_control(text: str) -> None:
    """Any text is shown without control characters but line breaks, and all its other characters are unchanged."""
    shown = escape_controls(text)
    assert not CONTROL.search(shown)
    assert CONTROL.sub("", text) == re.sub(r"\\x1b|\\x[01789][0-9a-f]|\\u20[26][0-9a-e]", "", shown) or "\\" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[0m", "\\x1b[0m"), ("\x7f\x9b", "\\x7f\\x9b"), ("\u202e\u2069", "\\u202e\\u2069"), ("é\n✓ 猫", "é\n✓ 猫")],
)
def test_controls_are_shown_as_escapes(text: str, shown: str) -> None:
    """Each control character is shown as Python writes it; letters of any script stay."""
    assert escape_controls(text) == shown


def make_run(path: Path, alphabet: str, **weights: torch.Tensor) -> Path:
    """Save a checkpoint with a vocabulary, whose model writes every symbol about equally often."""
    config = Config().replace("model", num_layers=1, hidden_size=4, embed_size=2)
    vocabulary = Vocabulary("char", "".join(sorted(alphabet)))
    torch.manual_seed(1)
    state = CharLM(len(vocabulary), **config.model.model_dump()).state_dict() | weights
    save_checkpoint(Checkpoint(config, vocabulary, "0f", 1, 1.0, weights=state), path)
    return path


@pytest.fixture
def hostile(charlm: CharlmCommand, config: Config) -> dict[str, str]:
    """Return what commands are given, in an empty directory that holds hostile files."""
    Path("key.yaml").write_text(f'"{escape_for_yaml(HOSTILE)}": 1\n')
    Path("inner.yaml").write_text(f'model: {{"{escape_for_yaml(HOSTILE)}": 1}}\n')
    Path("value.yaml").write_text(f'train: {{device: "{escape_for_yaml(HOSTILE)}"}}\n')
    Path("broken.yaml").write_bytes(b"model: {\x1b[31m")
    Path(f"{HOSTILE}.yaml").write_text(config.replace("train", max_steps=2).to_yaml())
    Path(f"{HOSTILE}.txt").write_bytes(b"\xff")
    Path(f"{HOSTILE} directory").mkdir()
    make_run(Path("keys.pt"), "ab", **{HOSTILE: torch.zeros(1)})
    make_run(Path("vocabulary.pt"), HOSTILE)
    make_run(Path(f"{HOSTILE}.pt"), "ab")
    return {"H": HOSTILE}


def escape_for_yaml(text: str) -> str:
    """Return a text as it stands between the quotation marks of YAML."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


COMMANDS = [
    "H", "--H", "fetch H", "train --H", "train --set H=1", "train --set model.H=1", "train --set H", "train H",
    "train --set train.device=H", "train --set data.path=H", "train --set data.path=H.txt", "train 'H directory'",
    "train key.yaml", "train inner.yaml", "train value.yaml", "train broken.yaml", "train H.yaml --dry-run",
    "train --set train.init_from=H", "train --set train.init_from='H directory'",
    "train --set train.init_from=vocabulary.pt --set data.path=key.yaml --set train.batch_size=1 --dry-run",
    "train H.yaml --set sample.prompt=H", "train --out H/x/y --set data.path=H",
    "train H.yaml --resume --out 'H directory'",
    "sample H", "sample 'H directory'", "sample keys.pt", "sample H.pt --prompt H", "sample H.pt --prompt-file H",
    "sample H.pt --device H", "sample vocabulary.pt --prompt z", "sample H.pt --on-unknown H", "sample H.pt --length H",
    "eval H", "eval H.pt --split H", "eval H.pt --text H", "eval H.pt --text H.txt", "eval H.pt --device H",
    "eval keys.pt", "compare-layers --layers H", "compare-layers --match H",
    "compare-layers --shard H", "compare-layers --set H=1", "compare-layers key.yaml", "compare-layers --report-only H",
    "init H", "init H.yaml --minutes 0", "init H.txt", "init key.yaml --out H.yaml", "runs H", "runs 'H directory'",
    "runs --filter H=1", "runs --filter data.path=H", "runs --sort H", "inspect H", "inspect H.pt --text H",
    "inspect vocabulary.pt --prompt z", "export H --out H", "export H.pt --out 'H directory'", "import H --out H",
    "import 'H directory' --out H",
]  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_no_message_has_a_control(line: str, charlm: CharlmCommand, hostile: dict[str, str]) -> None:
    """Whatever a command is given, its messages show control characters escaped."""
    words = [word.replace("~", " ") for word in line.replace("H directory", "H~directory").replace("'", "").split()]
    outcome = charlm(*[re.sub(r"\bH\b", lambda _: HOSTILE, word) for word in words])
    assert outcome.out + outcome.err
    assert not CONTROL.search(outcome.out + outcome.err)
    assert "Traceback" not in outcome.err


def test_no_line_of_a_run_has_a_control(charlm: CharlmCommand, hostile: dict[str, str]) -> None:
    """The progress, the result and the refusal of a run whose paths are hostile show control characters escaped."""
    for status in (0, 2):
        outcome = charlm("train", f"{HOSTILE}.yaml", "--out", f"{HOSTILE} run")
        assert outcome.status == status
        assert "a\\x1b[31m" in outcome.out + outcome.err
        assert not CONTROL.search(outcome.out + outcome.err)


def test_no_line_of_progress_has_a_control(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a run and a warning of its training show control characters escaped."""
    ProgressReporter(HOSTILE).warn(f"{HOSTILE} is damaged")
    shown = escape_controls(HOSTILE)
    assert capsys.readouterr().err == f"{shown}: warning: {shown} is damaged\n"


def test_json_has_no_control(charlm: CharlmCommand, hostile: dict[str, str]) -> None:
    """Samples in JSON have all control characters escaped."""
    outcome = charlm("sample", "vocabulary.pt", "--json", "--length", 200)
    assert outcome.status == 0
    assert "\\u001b" in outcome.out
    assert not CONTROL.search(outcome.out)


def test_a_pipe_gets_a_sample_unchanged(charlm: CharlmCommand, hostile: dict[str, str]) -> None:
    """In a pipe a sample is what the model wrote."""
    outcome = charlm("sample", "vocabulary.pt", "--length", 300, "--temperature", 1)
    assert set(HOSTILE) <= set(outcome.out)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("num_samples", [1, 2])
def test_a_terminal_gets_a_sample_escaped(
    raw: bool, num_samples: int, charlm: CharlmCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the control characters of a sample but tabs and line breaks are escaped, unless --raw is given."""
    run = make_run(Path("model.pt"), f"{HOSTILE}\n")
    reading, writing = pty.openpty()
    options = ["--num-samples", num_samples, "--length", 300, "--temperature", 1, *(["--raw"] if raw else [])]
    with os.fdopen(writing, "w", encoding="utf-8", newline="") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        outcome = charlm("sample", run, *options)
    monkeypatch.undo()
    shown = drain(reading).replace("\r\n", "\n")
    assert outcome.status == 0
    assert "\t" in shown
    assert bool(CONTROL.search(shown.replace("\t", ""))) is raw
    assert ("\\x1b" in shown, "\\u202e" in shown, "\\x0a" in shown) == (not raw, not raw, False)


def test_raw_and_json_exclude_each_other(charlm: CharlmCommand) -> None:
    """The option --raw has no effect on JSON and is refused."""
    outcome = charlm("sample", "run", "--raw", "--json")
    assert outcome.status == 2
    assert "--raw and --json" in outcome.err


def test_python_warnings_are_one_escaped_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A warning of Python's, such as that of a damaged kernel library, is one line like the other warnings."""

    def complete(*_: object) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning(UserWarning(f"{HOSTILE} is damaged"), UserWarning, "file.py", 1)
        return 0

    monkeypatch.setenv("_CHARLM_COMPLETE", "bash_source")
    monkeypatch.setattr("charlm.cli.complete", complete)
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # restored after the test
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # restored after the test
    monkeypatch.setattr("charlm.cli.keep_freed_memory", lambda: None)
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().err == f"warning: {escape_controls(HOSTILE)} is damaged\n"


def test_long_values_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    """A message of click's that repeats a long value is cut in the middle, and both ends are shown."""
    show_mistake(click.BadParameter("9" * 5000 + " is not in the range"))
    message = capsys.readouterr().err
    assert len(message) < 1100
    assert message.startswith("Error: Invalid value: 999")
    assert message.endswith("999 is not in the range\n")
