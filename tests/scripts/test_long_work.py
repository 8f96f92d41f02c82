"""A short run of scripts/soak.py, and the cache of encoded corpora under faults."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from repository import load_script

from charlm.config import Config
from charlm.errors import CharlmError
from charlm.text.corpus import load_corpus


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the corpora directory of an empty cache."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


def test_memory_and_open_files_are_constant(tmp_path: Path) -> None:
    """Memory and the number of open files do not increase in the second half of a run."""
    samples, log_bytes = load_script("soak").soak(tmp_path, 600)
    assert samples[-1][0] < samples[10][0] + 5
    assert samples[-1][1] <= samples[10][1]
    assert log_bytes < 5_000


@pytest.mark.parametrize("text", ["ascii only\n" * 50, "grün ≤ 𝕏\n" * 50, "".join(map(chr, range(0x100, 0x400)))])
def test_ids_and_counts_are_those_of_the_text(cache: Path, tmp_path: Path, text: str) -> None:
    """ASCII, other UTF-8 and vocabularies of more than 256 symbols decode to the text and have its character counts."""
    (tmp_path / "text.txt").write_text(text, encoding="utf-8", newline="")
    corpus = load_corpus(str(tmp_path / "text.txt"), "char")
    assert corpus.vocabulary.decode(corpus.ids.to(torch.int64)) == text
    assert corpus.counts.tolist() == [text.count(symbol) for symbol in corpus.vocabulary.symbols]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interrupted_encoding_leaves_nothing(
    cache: Path, config: Config, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A failed encoding leaves nothing in the cache, its error gives a remedy, and the next encoding succeeds."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, fail)
        with pytest.raises(CharlmError, match=r"No space left on device.*CHARLM_CACHE_DIR") as caught:
            load_corpus(config.data.path, "char")
    assert caught.value.exit_status == 1
    assert list(cache.iterdir()) == []
    assert len(load_corpus(config.data.path, "char").ids) > 0


def test_unwritable_cache(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the cache directory cannot be written, the error names the variable that sets its location."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(CharlmError, match="CHARLM_CACHE_DIR"):
        load_corpus(config.data.path, "char")


def test_two_processes_share_one_cache(cache: Path, tmp_path: Path) -> None:
    """Two processes that encode the same text at the same time both succeed, and one copy is left."""
    (tmp_path / "text.txt").write_text("0123456789\n" * 300_000)
    check = "import sys; from charlm.text.corpus import load_corpus; print(len(load_corpus(sys.argv[1], 'char').ids))"
    command = [sys.executable, "-c", check, str(tmp_path / "text.txt")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == ["3300000\n"] * 2
    assert len(list(cache.iterdir())) == 1
