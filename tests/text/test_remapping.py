"""A text in the numbers of another vocabulary."""

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import remapping
from charlm.text.corpus import load_corpus
from charlm.text.remapping import Renumbered
from charlm.text.vocabulary import Vocabulary


@given(st.text("abxyz\n", min_size=1, max_size=80), st.integers(1, 30), st.integers(0, 90), st.integers(0, 90))
def test_equals_the_encoded_text(text: str, piece_length: int, start: int, length: int) -> None:
    """Every stretch has the ids of the text without what is unknown, whatever is renumbered at a time."""
    vocabulary = Vocabulary("char", "y\na")
    expected = vocabulary.encode(text, on_unknown="skip")
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE_DIR", f"{directory}/cache")
        patch.setattr(remapping, "PIECE_LENGTH", piece_length)
        path = Path(directory) / "text.txt"
        path.write_bytes(text.encode())
        renumbered = Renumbered(load_corpus(str(path), "char"), vocabulary)
        assert len(renumbered) == len(expected)
        assert renumbered.num_unknown == len(text) - len(expected)
        assert torch.equal(renumbered[start : start + length], expected[start : start + length])


def test_ids_of_two_bytes(tmp_path: Path) -> None:
    """A text of more symbols than a byte numbers is renumbered as well."""
    symbols = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    (tmp_path / "text.txt").write_text(symbols, encoding="utf-8")
    vocabulary = Vocabulary("char", symbols[::-1])
    renumbered = Renumbered(load_corpus(str(tmp_path / "text.txt"), "char"), vocabulary)
    assert renumbered[0:400].tolist() == list(range(399, -1, -1))
