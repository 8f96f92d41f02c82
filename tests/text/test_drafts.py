"""Drafts of a corpus: one reading of a text gives its digest, symbols, counts and numbers."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.text(st.sampled_from(SYMBOLS[:300]))), st.integers(1, 9))
def test_ids_replace_numbers(tmp_path_factory: pytest.TempPathFactory, chunks: list[str], piece_length: int) -> None:
    """After numbers are replaced the file has the ids, in the narrowest type, and the CRC-32 that is returned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drafts, "PIECE_LENGTH", piece_length)
        content = draft(chunks, tmp_path_factory.mktemp("draft"))
        symbols = sorted(set("".join(chunks)))
        places = {symbol: place for place, symbol in enumerate(symbols)}
        ids = np.array([places.get(chr(code), 0) for code in content.codes])
        checksum = content.replace_numbers(ids, len(symbols), silent)
    written = np.fromfile(content.path, drafts.id_type(len(symbols)))
    assert "".join(symbols[place] for place in written) == "".join(chunks)
    assert checksum == zlib.crc32(content.path.read_bytes())


@pytest.mark.parametrize(("num_symbols", "width"), [(128, 1), (240, 1), (257, 2), (65_500, 2), (65_537, 4)])
def test_ids_are_written_in_their_own_type(num_symbols: int, width: int, tmp_path: Path) -> None:
    """Ids take the bytes that their number needs, also where there were too many numbers for so few bytes."""
    text = "".join(SYMBOLS[128 : 128 + num_symbols])  # without ASCII, whose numbers are not used then
    content = draft([text], tmp_path)
    ids = np.maximum(np.arange(len(content.codes)) - 128, 0)
    content.replace_numbers(ids, num_symbols, silent)
    written = np.fromfile(content.path, drafts.id_type(num_symbols))
    assert written.tolist() == list(range(num_symbols))
    assert content.path.stat().st_size == num_symbols * width


def test_bytes_keep_their_numbers(tmp_path: Path) -> None:
    """At level byte the file holds the bytes, which are their own ids and are not written a second time."""
    data = bytes(range(256)) * 3 + b"\0"
    content = write_draft([Source("data", lambda: iter([data]))], "byte", tmp_path / "draft", silent)
    written_at = content.path.stat().st_mtime_ns
    assert content.replace_numbers(np.arange(256), 256, silent) == zlib.crc32(data)
    assert content.path.read_bytes() == data
    assert content.path.stat().st_mtime_ns == written_at
    assert content.counts.tolist() == [4] + [3] * 255
