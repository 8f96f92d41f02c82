"""charlm inspect as a user types it."""

import errno
import io
import json
import sys
from pathlib import Path

import pytest
from command_line import CharlmCommand, assert_mistake

from charlm.inference.trained import load


def test_it_writes_one_page(charlm: CharlmCommand, run: Path) -> None:
    """Without options, the validation part is read and inspect.html is written; stdout has the main results."""
    done = charlm("inspect", run, "--device", "cpu")
    assert (done.status, done.err) == (0, "")
    assert [path.name for path in Path.cwd().iterdir()] == ["inspect.html"]
    trained = load(run, "cpu")
    bits = trained.evaluate_split("val").bits_per_char
    assert f"{bits:.4f} bits per character" in done.out
    assert "in verbatim matches of 20 or more" in done.out
    assert f"{bits:.3f} bits per character" in Path("inspect.html").read_text(encoding="utf-8")


def test_json_has_the_numbers(charlm: CharlmCommand, run: Path) -> None:
    """--json writes the same loss beside the page, and the probabilities of the prompt's characters."""
    done = charlm("inspect", run, "--prompt", "green bottles", "--json", "numbers.json", "--out", "page.html")
    assert (done.status, done.err) == (0, "")
    numbers = json.loads(Path("numbers.json").read_text())
    assert "".join(numbers["symbols"]) == "green bottles"
    reading = load(run, "cpu").inspect("green bottles")
    assert numbers["probability"] == pytest.approx(reading.probability[1:].tolist(), abs=1e-6)
    assert Path("page.html").exists()


def test_ansi_prints_the_text(charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--ansi prints the characters in colours with a legend, with NO_COLOR in digits, and writes no file."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = charlm("inspect", run, "--prompt", "green\tbottles\nhanging", "--on-unknown", "replace", "--ansi")
    assert coloured.status == 0
    assert "\x1b[38;5;" in coloured.out
    assert "8 and more" in coloured.out
    monkeypatch.setenv("NO_COLOR", "1")
    plain = charlm("inspect", run, "--prompt", "green bottles\nhanging", "--ansi")
    line, digits, *_ = plain.out.splitlines()
    bits = load(run, "cpu").inspect("green bottles\nhanging").surprise_bits
    assert line == "green bottles↵"
    assert digits == " " + "".join(str(min(9, round(float(each)))) for each in bits[1:14])
    assert "\x1b" not in plain.out
    assert list(Path.cwd().iterdir()) == []


def test_bytes_are_called_bytes(charlm: CharlmCommand, config_file: Path, tmp_path: Path) -> None:
    """What is counted in a byte vocabulary has the name of its unit, in the summary and in the page."""
    run = tmp_path / "bytes"
    assert charlm("train", config_file, "--set", "data.level=byte", "--out", run).status == 0
    done = charlm("inspect", run, "--prompt", "green bottles")
    assert " bits per byte, 13 bytes read" in done.out
    page = Path("inspect.html").read_text(encoding="utf-8")
    assert "<bdi>13 bytes</bdi>" in page
    assert " bits per byte</bdi>" in page


def test_a_long_text_is_cut_with_a_word(charlm: CharlmCommand, run: Path) -> None:
    """Of a text of a megabyte the beginning is read, and the message names the option that reads more."""
    Path("long.txt").write_text("green bottles hanging on the wall\n" * 32_000)
    done = charlm("inspect", run, "--text", "long.txt", "--length", "40", "--json", "numbers.json")
    assert done.status == 0
    assert "1,088,000 characters, of which the first 40 are read; --length N reads more, 10,000 at most" in done.err
    assert json.loads(Path("numbers.json").read_text())["num_chars"] == 40
    done = charlm("inspect", run, "--text", "long.txt", "--length", "10000", "--ansi")
    assert done.err.endswith("of which the first 10,000 are read; this is the most.\n")


def test_unknown_characters_of_a_file_are_left_out(charlm: CharlmCommand, run: Path) -> None:
    """As in charlm eval, a warning says how much of a text the model does not know."""
    Path("text.txt").write_text("green ΩΩΩΩ bottles")
    done = charlm("inspect", run, "--text", "text.txt", "--ansi")
    assert done.status == 0
    assert "does not know 22.2% of the text" in done.err


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--text", "a.txt", "--prompt", "b"], ["--text and --prompt", "one of the two"]),
        (["--text", ""], ["--text", "got ''"]),
        (["--text", "a.txt", "--on-unknown", "skip"], ["--on-unknown", "for --prompt", "left out"]),
        (["--on-unknown", "error"], ["--on-unknown", "for --prompt"]),
        (["--length", "1"], ["--length", "2 to 10,000", "got 1"]),
        (["--length", "1000000"], ["--length", "2 to 10,000", "got 1,000,000"]),
        (["--length", "many"], ["--length", "many"]),
        (["--ansi", "--out", "x.html"], ["--ansi and --out"]),
        (["--out", "."], ["--out", "is a directory"]),
        (["--out", "no/page.html"], ["--out", "no directory no"]),
        (["--json", "no/numbers.json"], ["--json", "no directory no"]),
        (["--json", "/dev/stdout"], ["--json /dev/stdout", "not a regular file", "give another file"]),
        (["--out", "/dev/null"], ["--out /dev/null", "not a regular file", "give another file"]),
        (["--out", "one", "--json", "./one"], ["--out and --json", "both are one", "give two files"]),
    ],
    ids=" ".join,
)
def test_mistakes_are_found_before_the_model_is_loaded(
    charlm: CharlmCommand, options: list[str], parts: list[str]
) -> None:
    """A wrong option is named with its value, and no file is written."""
    assert_mistake(charlm("inspect", "no-such-run", *options), *parts)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--prompt", "Ω"], ["'Ω'", "--on-unknown skip"]),
        (["--prompt", "g"], ["1 characters", "at least 2"]),
        (["--text", "no.txt"], ["no.txt"]),
        (["--device", "tpu"], ["tpu"]),
    ],
    ids=" ".join,
)
def test_text_that_cannot_be_read(charlm: CharlmCommand, run: Path, options: list[str], parts: list[str]) -> None:
    """A text that does not fit the model is refused, and no file is written."""
    assert_mistake(charlm("inspect", run, *options), *parts)
    assert list(Path.cwd().iterdir()) == []


def test_a_full_disk_leaves_the_old_page(charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that cannot be written is an error of the run, and what was there stays."""
    Path("inspect.html").write_text("the old page")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["charlm.cli.inspect"], "open_for_writing", refuse)  # the name is a command, too
    done = charlm("inspect", run, "--prompt", "green bottles")
    assert done.status == 1
    assert done.err == "Error: --out inspect.html: cannot be written: No space left on device; give another file.\n"
    assert [path.read_text() for path in Path.cwd().iterdir()] == ["the old page"]


def test_a_missing_corpus_is_no_obstacle_for_another_text(charlm: CharlmCommand, run: Path, corpus_path: Path) -> None:
    """Without the training text a prompt can be inspected, and the summary says what was not measured."""
    corpus_path.unlink()
    done = charlm("inspect", run, "--prompt", "green bottles")
    assert done.status == 0
    assert "copied or new: not measured" in done.out
    assert_mistake(charlm("inspect", run), "bottles.txt")


def test_a_prompt_from_standard_input(charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads the prompt from standard input; of a long one the first characters are read."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"green bottles hanging" * 1000)))
    done = charlm("inspect", run, "--prompt", "-", "--length", 9, "--json", "numbers.json", "--out", "page.html")
    assert done.status == 0
    assert "the prompt has 21,000 characters, of which the first 9 are read" in done.err
    assert "".join(json.loads(Path("numbers.json").read_text())["symbols"]) == "green bot"


def test_a_text_from_standard_input(charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--text -`` reads a text there, without what the model does not know, and no more than it can hold."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("green Ω\xe9Ω bottles".encode() + b"\xff" * 3)))
    done = charlm("inspect", run, "--text", "-", "--length", 9, "--json", "numbers.json")
    assert done.status == 0
    assert "standard input: the model does not know 30.0% of the text" in done.err
    assert "standard input has 14 characters, of which the first 9 are read" in done.err
    assert "".join(json.loads(Path("numbers.json").read_text())["symbols"]) == "green  bo"


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ["--text -: the model knows 0 of its 0 characters; give at least 2"]),
        (b"g\xff\xfe", ["--text -: the model knows 1 of its 3 characters; give at least 2"]),
        (b"g" * 11, ["--text -: too long", "at most 10 bytes"]),
    ],
)
def test_a_text_that_standard_input_lacks(
    charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, parts: list[str]
) -> None:
    """A text that is empty, unknown to the model or too long is refused, and no file is written."""
    monkeypatch.setattr("charlm.cli.prompt.MAX_PROMPT_BYTES", 10)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert_mistake(charlm("inspect", run, "--text", "-"), *parts)
    assert list(Path.cwd().iterdir()) == []
