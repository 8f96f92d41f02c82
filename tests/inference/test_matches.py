"""Matches with the training text equal those of a naive search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytest import MonkeyPatch

from charlm.inference import matches
from charlm.inference.matches import cover_matches, find_matches
from charlm.text.vocabulary import Vocabulary

CHARACTERS = Vocabulary("char", "abé界😀")  # of 1, 1, 2, 3 and 4 bytes
BYTES = Vocabulary("byte")
IDS = st.lists(st.integers(0, 4), max_size=30)


def search_naively(train: list[int], text: list[int]) -> list[int]:
    """Return the length of the longest match at each place, by looking for ever longer pieces everywhere."""

    def occurs(piece: list[int]) -> bool:
        return any(train[start : start + len(piece)] == piece for start in range(len(train) - len(piece) + 1))

    return [
        max(n for n in range(len(text) - place + 1) if n == 0 or occurs(text[place : place + n]))
        for place in range(len(text))
    ]


@pytest.mark.parametrize("vocabulary", [CHARACTERS, BYTES], ids=["characters", "bytes"])
@pytest.mark.parametrize("piece_length", [3, 1 << 23], ids=["pieces", "whole"])
@given(train=IDS.filter(bool), texts=st.lists(IDS, max_size=3))
def test_lengths_are_those_of_a_naive_search(
    vocabulary: Vocabulary, piece_length: int, train: list[int], texts: list[list[int]]
) -> None:
    """Also where the training text is indexed in pieces that are shorter than a match."""
    with MonkeyPatch.context() as patch:
        patch.setattr(matches, "PIECE_LENGTH", piece_length)
        found = find_matches(torch.tensor(train), vocabulary, [torch.tensor(text).long() for text in texts])
    assert [lengths.tolist() for lengths in found] == [search_naively(train, text) for text in texts]


@given(st.lists(st.integers(0, 9), max_size=30))
def test_cover_is_the_longest_match_that_contains_a_place(lengths: list[int]) -> None:
    """Each place has the largest length among the matches that reach it."""
    lengths = [min(length, len(lengths) - start) for start, length in enumerate(lengths)]
    expected = [
        max((n for start, n in enumerate(lengths) if start <= place < start + n), default=0)
        for place in range(len(lengths))
    ]
    assert cover_matches(np.array(lengths, dtype=np.int64)).tolist() == expected


def test_a_passage_of_the_training_text_is_found_whole() -> None:
    """A passage is one match from its first character to its last."""
    train = torch.randint(5, (20_000,), generator=torch.Generator().manual_seed(0))
    [lengths] = find_matches(train, CHARACTERS, [train[9_000:10_000]])
    assert lengths.tolist() == list(range(1000, 0, -1))
    assert set(cover_matches(lengths).tolist()) == {1000}
