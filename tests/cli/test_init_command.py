"""charlm init: the file that it writes, and what it refuses."""

from pathlib import Path

import pytest
from command_line import CharlmCommand, assert_mistake
from texts import TEXT

from charlm.cli.init import _name_text, explain
from charlm.config import Config, load_config
from charlm.training.proposal import Proposal


@pytest.fixture
def here(charlm: CharlmCommand) -> Path:
    """Return the directory that commands run in, with a text."""
    Path("book.txt").write_text(TEXT)
    return Path()


def test_written_configuration_trains(charlm: CharlmCommand, here: Path) -> None:
    """The file loads, says what the text and the speed call for, and trains as it is."""
    done = charlm("init", "book.txt", "--minutes", "0.02")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("book.yaml: 1 x 32, ")
    assert done.out.endswith("train with: charlm train book.yaml\n")
    config = load_config("book.yaml")
    assert config.data.path == "book.txt"
    written = Path("book.yaml").read_text()
    for part in ("# Written by charlm init", f"{len(TEXT):,} characters.", "characters per second here", "passes over"):
        assert part in " ".join(written.split())
    assert charlm("train", "book.yaml", "--out", "run").status == 0


def test_bytes(charlm: CharlmCommand, here: Path) -> None:
    """--level and --out are those of the configuration."""
    Path("data.bin").write_bytes(bytes(range(256)) * 20)
    assert charlm("init", "data.bin", "--level", "byte", "--out", "b.yaml", "--minutes", "0.01").status == 0
    assert load_config("b.yaml").data.level == "byte"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["book.txt", "--minutes", "0"], ["--minutes: expected a number above 0", "got 0."]),
        (["book.txt", "--minutes", "nan"], ["--minutes: expected a number above 0", "got nan."]),
        (["book.txt", "--minutes", "inf"], ["--minutes: expected a number above 0", "got inf."]),
        (["missing.txt"], ["missing.txt"]),
        (["short.txt"], ["the train part of the corpus has 1 of its 2 characters"]),
        (["binary"], ["data.level=byte"]),
        (["book.txt", "--out", "no/where.yaml"], ["--out no/where.yaml: there is no directory no"]),
        (["book.txt", "--out", "x" * 300], ["cannot be written"]),
    ],
)
def test_mistakes(charlm: CharlmCommand, here: Path, arguments: list[str], parts: list[str]) -> None:
    """A wrong text, time or place is one message and exit status 2, and nothing is written."""
    Path("short.txt").write_text("ab")
    Path("binary").write_bytes(b"\0\xff")
    before = sorted(here.iterdir())
    assert_mistake(charlm("init", *arguments), *parts)
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("kind", ["file", "directory", "dead link"])
def test_nothing_is_overwritten(charlm: CharlmCommand, here: Path, kind: str) -> None:
    """Whatever has the name already stays, and the message says how to give another one."""
    path = Path("book.yaml")
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert_mistake(charlm("init", "book.txt"), "book.yaml: is there already, and is not overwritten", "--out")
    assert path.is_symlink() or path.is_dir() or path.read_text() == "mine"
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("builtin:python-docs", "python-docs"),
        ("/a/book.txt", "book"),
        ("book.txt.gz", "book"),
        ("books/", "books"),
        ("books/*.txt", "books"),
        ("../..", "text"),
        (".", "text"),
        ("a b\n;c.txt", "a-b--c"),
        (".txt", "text"),
    ],
)
def test_names(path: str, name: str) -> None:
    """The file is named after its text."""
    assert _name_text(path) == name


def test_only_proposed_regularization_has_a_reason() -> None:
    """A key of regularization that is not proposed is not written."""
    config = Config().replace("model", dropout=0.1, dropconnect=0.0)
    reasons = explain(Proposal(config, 1000, 100, 3.0, 10.0, 4, 60.0))
    assert reasons["model.dropout"] == "The text is read more than twice."
    assert not {"model.dropconnect", "train.decay_frac"} & set(reasons)
    assert "train.decay_frac" in explain(
        Proposal(config.replace("train", decay_frac=0.2), 1000, 100, 8.0, 10.0, 4, 60.0)
    )
