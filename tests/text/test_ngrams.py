"""Counts of grams, and predictions from two levels with known values."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import ngrams
from charlm.text.ngrams import Level, count_grams, predict


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32], ids=str)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(1, 50))
def test_grams_are_counted(dtype: torch.dtype, ids: list[int], piece_length: int) -> None:
    """Each length has its grams, with their occurrences and the indices of their first and last n - 1 symbols."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "PIECE_LENGTH", piece_length)
        levels = list(count_grams(torch.tensor(ids, dtype=dtype), 5, 3))
    shorter: list[tuple[int, ...]] = [()]
    for n, level in enumerate(levels, start=1):
        expected = Counter(tuple(ids[k : k + n]) for k in range(len(ids) - n + 1))
        grams = sorted(expected)
        assert level.counts.tolist() == [expected[gram] for gram in grams]
        assert level.prefixes.tolist() == [shorter.index(gram[:-1]) for gram in grams]
        assert level.suffixes.tolist() == [shorter.index(gram[1:]) for gram in grams]
        assert level.num_shorter == len(shorter)
        shorter = grams


def test_levels_are_mixed() -> None:
    """A seen gram adds its share, an unseen one nothing, and after an unseen context the level below predicts alone."""
    first = Level(torch.tensor([0]), torch.tensor([0.6, 0.0]).double(), torch.tensor([0.4, 1.0]).double())
    second = Level(torch.tensor([1]), torch.tensor([0.5, 0.0]).double(), torch.tensor([0.5, 1.0]).double())
    unigram, bigram = predict([first, second], torch.tensor([0, 1, 1, 0, 0]), 2)
    assert unigram.tolist() == pytest.approx([0.8, 0.2, 0.2, 0.8, 0.8])
    assert bigram.tolist() == pytest.approx([0.8, 0.5 + 0.5 * 0.2, 0.2, 0.8, 0.5 * 0.8])
