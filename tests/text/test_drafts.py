"""Drafts of a corpus: one reading of a text gives its digest, symbols, counts and numbers."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from charlm.text import drafts
from charlm.text.drafts import Draft, write_draft
from charlm.text.sources import Source

SYMBOLS = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x16000))]


def silent(_: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """Show no progress."""
    return chunks


def draft(chunks: list[str], tmp_path: Path) -> Draft:
    """Return the draft of a text that is read in given chunks."""
    source = Source("text", lambda: iter([chunk.encode() for chunk in chunks]))
    return write_draft([source], "char", tmp_path / "draft", silent)


def read_text(content: Draft) -> str:
    """Return the text of the numbers in a draft's file."""
    numbers = np.fromfile(content.path, drafts.id_type(len(content.codes)))
    return "".join(map(chr, content.codes[numbers]))


@pytest.mark.parametrize("num_symbols", [1, 100, 128, 129, 256, 257, 384, 65_536, 65_537, 70_000])
def test_numbers_are_those_of_the_text(num_symbols: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, counts and the digest are those of the text, whatever the number of symbols and where they appear."""
    monkeypatch.setattr(drafts, "PIECE_LENGTH", 1000)
    symbols = "".join(SYMBOLS[:num_symbols])
    chunks = ["ascii text" * 300, symbols, "more", symbols[::-1], symbols[-1]]
    content = draft(chunks, tmp_path)
    text = "".join(chunks)
    assert read_text(content) == text
    assert content.digests == [hashlib.sha256(text.encode()).digest()]
    found = {chr(code): count for code, count in zip(content.codes, content.counts, strict=True) if count}
    assert found == Counter(text)


def test_bytes_keep_their_numbers(tmp_path: Path) -> None:
    """At level byte the file holds the bytes, and all 256 of them are counted."""
    data = bytes(range(256)) * 3 + b"\0"
    content = write_draft([Source("data", lambda: iter([data]))], "byte", tmp_path / "draft", silent)
    assert content.path.read_bytes() == data
    assert content.counts.tolist() == [4] + [3] * 255
