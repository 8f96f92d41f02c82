"""Ids of a corpus remapped to another vocabulary."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import remapping
from charlm.text.corpus import load_corpus
from charlm.text.remapping import RemappedIds
from charlm.text.vocabulary import Vocabulary


@given(st.text("abxyz\n", min_size=1, max_size=80), st.integers(1, 30), st.integers(0, 90), st.integers(0, 90))
def test_equals_the_encoded_text(text: str, piece_length: int, start: int, length: int) -> None:
    """Every slice equals that of the text encoded without unknown characters, for any piece length."""
    vocabulary = Vocabulary("char", "y\na")
    expected = vocabulary.encode(text, on_unknown="skip")
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE_DIR", f"{directory}/cache")
        patch.setattr(remapping, "PIECE_LENGTH", piece_length)
        path = Path(directory) / "text.txt"
        path.write_bytes(text.encode())
        remapped = RemappedIds(load_corpus(str(path), "char"), vocabulary)
        assert len(remapped) == len(expected)
        assert remapped.num_unknown == len(text) - len(expected)
        assert torch.equal(remapped[start : start + length], expected[start : start + length])


def test_ids_of_two_bytes(tmp_path: Path) -> None:
    """A corpus with more than 256 symbols, whose ids take two bytes, is remapped correctly."""
    symbols = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    (tmp_path / "text.txt").write_text(symbols, encoding="utf-8")
    vocabulary = Vocabulary("char", symbols[::-1])
    remapped = RemappedIds(load_corpus(str(tmp_path / "text.txt"), "char"), vocabulary)
    assert remapped[0:400].tolist() == list(range(399, -1, -1))
