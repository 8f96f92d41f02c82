"""A text of several files, encoded by several processes."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from processes import is_group_left, wait_until

from charlm.errors import CharlmError, InputError
from charlm.text import parts
from charlm.text.corpus import Corpus, load_corpus
from charlm.text.parts import split, write_drafts
from charlm.text.sources import Source, find_sources
from charlm.text.vocabulary import Level

TEXTS = ["\ufeffone, ", "zwölf: ≤", "", "три\n", "𝔉our"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory of small texts in different alphabets, one of them empty."""
    directory = tmp_path / "texts"
    directory.mkdir()
    for number, text in enumerate(TEXTS):
        (directory / f"{number}.txt").write_text(text, encoding="utf-8")
    return directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The corpora directory of an empty cache."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


@pytest.fixture
def _two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two processes encode the smallest texts."""
    monkeypatch.setattr(parts, "MIN_PART_BYTES", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def started(monkeypatch: pytest.MonkeyPatch) -> "list[subprocess.Popen[bytes]]":
    """Return a list to which each process is added that is started."""
    children: list[subprocess.Popen[bytes]] = []
    start = parts.start_child

    def record(*arguments: object) -> "subprocess.Popen[bytes]":
        children.append(start(*arguments))  # type: ignore[arg-type]
        return children[-1]

    monkeypatch.setattr(parts, "start_child", record)
    return children


@pytest.mark.parametrize("level", ["char", "byte"])
def test_the_corpus_is_that_of_one_process(
    level: Level, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digest, ids, vocabulary and counts are the same, and the cache passes its own verification."""
    corpora: list[Corpus] = []
    children = started(monkeypatch)
    for number, name in ((1, "one"), (2, "two")):
        monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / name))
        monkeypatch.setattr(parts, "MIN_PART_BYTES", 1)
        monkeypatch.setattr(torch, "get_num_threads", lambda number=number: number)
        corpora += [load_corpus(str(folder), level) for _ in range(2)]
    assert len(children) == 2
    first = corpora[0]
    assert level == "byte" or first.vocabulary.decode(first.ids) == "".join(TEXTS).removeprefix("\ufeff")
    for corpus in corpora[1:]:
        assert torch.equal(first.ids, corpus.ids)
        assert torch.equal(first.counts, corpus.counts)
        assert (first.vocabulary, first.digest) == (corpus.vocabulary, corpus.digest)


@pytest.mark.usefixtures("_two_processes")
def test_a_text_that_is_refused_leaves_nothing(folder: Path, cache: Path) -> None:
    """The error of a process is that of the text, with its file and line, and the cache stays empty."""
    (folder / "4.txt").write_bytes(b"gr\xfcn\n")
    with pytest.raises(InputError, match=r"4\.txt: line 1, byte offset 2: the byte 0xfc is not UTF-8"):
        load_corpus(str(folder), "char")
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("_two_processes")
def test_a_full_disk_is_told(folder: Path, tmp_path: Path) -> None:
    """An error of the system in a process is raised as one here."""
    (tmp_path / "draft-0").symlink_to("/dev/full")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_drafts(find_sources(str(folder)), "char", tmp_path, 2, lambda _, chunks: chunks)


@pytest.mark.usefixtures("_two_processes")
def test_a_killed_process_is_told(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed, as one is for lack of memory, is named with its signal; nothing is left."""
    start = parts.start_child

    def start_and_kill(*arguments: object) -> "subprocess.Popen[bytes]":
        child = start(*arguments)  # type: ignore[arg-type]
        child.kill()
        return child

    monkeypatch.setattr(parts, "start_child", start_and_kill)
    with pytest.raises(CharlmError, match=r"\d\.txt: cannot be encoded: its process was ended by SIGKILL"):
        load_corpus(str(folder), "char")
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("_two_processes")
def test_an_interruption_ends_the_processes(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends every process at once, also one that waits for a slow disk, and leaves nothing in the cache."""
    children = started(monkeypatch)
    slow = Source("slow", read_for_ever)
    monkeypatch.setattr(parts, "split", lambda sources, _: [sources, [slow]])

    def interrupt(_: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        yield next(iter(chunks))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_corpus(str(folder), "char", interrupt)
    assert [child.poll() is None for child in children] == [False, False]
    assert list(cache.iterdir()) == []


def read_for_ever() -> Iterator[bytes]:
    """Read something that never comes."""
    threading.Event().wait()
    yield b""


PROGRAM = """
import pathlib, sys
from charlm.text import parts
from charlm.text.sources import find_sources
parts.MIN_PART_BYTES = 1
parts.write_drafts(find_sources(sys.argv[1]), "char", pathlib.Path(sys.argv[2]), 2, lambda _, chunks: chunks)
"""


def test_processes_end_with_their_parent(folder: Path, tmp_path: Path) -> None:
    """A program without a main guard can encode by several processes; when it is killed, so are they."""
    (folder / "5.txt").write_bytes(b"text " * 10_000_000)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    parent = subprocess.Popen([sys.executable, str(program), str(folder), str(tmp_path)], process_group=0)
    wait_until(lambda: (tmp_path / "draft-1").exists() or parent.poll() is not None)
    parent.kill()
    assert parent.wait() == -signal.SIGKILL
    wait_until(lambda: not is_group_left(parent.pid))


def source(stored_bytes: int) -> Source:
    """Return a source of a size."""
    return Source(str(stored_bytes), lambda: iter([]), stored_bytes=stored_bytes)


@pytest.mark.parametrize(
    ("sizes", "num_parts", "expected"),
    [
        ([10, 10, 10, 10], 2, [[10, 10], [10, 10]]),
        ([10, 10, 10, 10], 9, [[10], [10], [10], [10]]),
        ([90, 1, 1, 1], 2, [[90], [1, 1, 1]]),
        ([1, 1, 1, 90], 2, [[1, 1, 1], [90]]),
        ([5, 4], 2, [[5, 4]]),
        ([100], 4, [[100]]),
        ([0, 0], 4, [[0, 0]]),
    ],
)
def test_parts(sizes: list[int], num_parts: int, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts follow each other and are of about the same size; there are no more than are worth a process."""
    monkeypatch.setattr(parts, "MIN_PART_BYTES", 10)
    found = split([source(size) for size in sizes], num_parts)
    assert [[source.stored_bytes for source in part] for part in found] == expected
