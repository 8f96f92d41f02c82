"""Numbers of drafts become ids, in place or joined to one file."""

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import numbering
from charlm.text.drafts import Draft, id_type, write_draft
from charlm.text.numbering import join_drafts
from charlm.text.sources import Source

SYMBOLS = [chr(code) for code in (*range(1, 0xD800), *range(0xE000, 0x16000))]


def silent(_: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """Show no progress."""
    return chunks


def draft(text: str, path: Path) -> Draft:
    """Return the draft of a text."""
    return write_draft([Source("text", lambda: iter([text.encode()]))], "char", path, silent)


@given(st.lists(st.text(st.sampled_from(SYMBOLS[:300])), min_size=1, max_size=4), st.integers(1, 9))
def test_joined_drafts_are_the_text(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], piece_length: int
) -> None:
    """However many drafts there are, the file has the ids of the text in its order, and the checksums of its parts."""
    folder = tmp_path_factory.mktemp("drafts")
    drafts = [draft(part, folder / f"draft-{number}") for number, part in enumerate(parts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "PIECE_LENGTH", piece_length)
        found = join_drafts(drafts, "char", folder / "ids", silent)
    text = "".join(parts)
    assert "".join(map(chr, found.codes)) == "".join(sorted(set(text)))
    assert found.counts.tolist() == [text.count(chr(code)) for code in found.codes]
    content = (folder / "ids").read_bytes()
    ids = np.frombuffer(content, id_type(len(found.codes)))
    assert "".join(map(chr, found.codes[ids])) == text
    assert [path.name for path in folder.iterdir()] == ["ids"]
    for num_bytes, checksum in found.checksums:
        assert zlib.crc32(content[:num_bytes]) == checksum
        content = content[num_bytes:]
    assert content == b""


@pytest.mark.parametrize("num_parts", [1, 3])
@pytest.mark.parametrize(("num_symbols", "width"), [(128, 1), (240, 1), (257, 2), (65_500, 2), (65_537, 4)])
def test_ids_are_written_in_their_own_type(num_symbols: int, width: int, num_parts: int, tmp_path: Path) -> None:
    """Ids take the bytes that their number needs, also where numbers are wider, or narrower in each part."""
    symbols = SYMBOLS[128 : 128 + num_symbols]  # without ASCII, whose numbers are not used then
    parts = ["".join(symbols[start::num_parts]) for start in range(num_parts)]
    drafts = [draft(part, tmp_path / f"draft-{number}") for number, part in enumerate(parts)]
    found = join_drafts(drafts, "char", tmp_path / "ids", silent)
    written = np.fromfile(tmp_path / "ids", id_type(num_symbols))
    assert [chr(found.codes[place]) for place in written] == list("".join(parts))
    assert (tmp_path / "ids").stat().st_size == num_symbols * width


def test_bytes_are_not_written_twice(tmp_path: Path) -> None:
    """At level byte the bytes are their own ids, all 256 are in the vocabulary, and a single draft stays as it is."""
    content = write_draft([Source("data", lambda: iter([b"abca"]))], "byte", tmp_path / "draft", silent)
    written_at = content.path.stat().st_mtime_ns
    found = join_drafts([content], "byte", tmp_path / "ids", silent)
    assert found.codes.tolist() == list(range(256))
    assert found.checksums == [(4, zlib.crc32(b"abca"))]
    assert (tmp_path / "ids").read_bytes() == b"abca"
    assert (tmp_path / "ids").stat().st_mtime_ns == written_at
