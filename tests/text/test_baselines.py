"""The baselines of a corpus, compared with plain Python."""

import math
import random
import zlib
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.text import baselines
from charlm.text.baselines import measure_baselines
from charlm.text.vocabulary import Vocabulary

ABCD = Vocabulary("char", "abcd")
TEXT = st.text("abcd", min_size=1, max_size=60)


def measure(train: str, val: str, vocabulary: Vocabulary = ABCD) -> dict[str, float]:
    """Return the baselines of two texts."""
    return measure_baselines(vocabulary.encode(train).to(torch.uint8), vocabulary.encode(val), vocabulary)


def witten_bell(train: str, context: str, symbol: str, V: int) -> float:
    """Return p(symbol | context) by Witten & Bell's method C, counted by a search of the training text."""
    shorter = witten_bell(train, context[1:], symbol, V) if context else 1 / V
    n = len(context)
    follow = Counter(train[k + n] for k in range(len(train) - n) if train[k : k + n] == context)
    if not follow:
        return shorter
    return (follow[symbol] + len(follow) * shorter) / (follow.total() + len(follow))


def expected_bits(train: str, val: str, order: int, V: int) -> float:
    """Return the mean bits per symbol of a text, with contexts of up to order - 1 symbols."""
    probabilities = [witten_bell(train, val[max(0, k - order + 1) : k], val[k], V) for k in range(len(val))]
    return -sum(map(math.log2, probabilities)) / len(val)


@pytest.mark.parametrize("symbols", ["a", "ab", "abcdefg"])
def test_uniform_is_the_logarithm_of_the_vocabulary(symbols: str) -> None:
    """The uniform baseline is log2 V bits per symbol for any text."""
    assert measure("aaa", "aa", Vocabulary("char", symbols))["uniform"] == math.log2(len(symbols))


def test_unigram_of_a_known_case() -> None:
    """Three a and one b in a vocabulary of four symbols give p(a) = (3 + 2/4) / 6 and p(c) = (2/4) / 6."""
    expected = -(math.log2(3.5 / 6) + math.log2(0.5 / 6)) / 2
    assert measure("aaba", "ac")["unigram"] == pytest.approx(expected, rel=1e-12)


@given(TEXT, TEXT, st.integers(1, 70))
def test_unigram_and_trigram_equal_the_formula(train: str, val: str, piece_length: int) -> None:
    """Unigram and trigram equal the formula evaluated context by context, for any piece length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "PIECE_LENGTH", piece_length)
        measured = measure(train, val)
    assert measured["unigram"] == pytest.approx(expected_bits(train, val, 1, 4), rel=1e-9)
    assert measured["trigram"] == pytest.approx(expected_bits(train, val, 3, 4), rel=1e-9)


@given(TEXT, st.text("abcd", min_size=2, max_size=2))
def test_trigram_probabilities_sum_to_one(train: str, context: str) -> None:
    """After any context, seen or unseen, the probabilities of all symbols sum to one."""
    before = 2 * measure(train, context)["trigram"]
    costs = [3 * measure(train, context + symbol)["trigram"] - before for symbol in ABCD.symbols]
    assert sum(2**-bits for bits in costs) == pytest.approx(1, rel=1e-9)


def test_trigram_uses_the_context() -> None:
    """If two symbols determine the next one, the trigram is far below the unigram; on random text it is not."""
    pattern = measure(200 * "aabb", 20 * "aabb")
    assert pattern["trigram"] < 0.1
    assert pattern["unigram"] > 0.9
    text = "".join(random.Random(1).choices("abcd", k=2000))  # noqa: S311  # not for cryptography
    assert measure(text[:1800], text[1800:])["trigram"] > 1.9


def test_a_large_vocabulary_does_not_overflow() -> None:
    """Codes of three symbols do not collide for a vocabulary of all Unicode characters."""
    symbols = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    vocabulary = Vocabulary("char", symbols)
    text = "\U0010ffff\U0010fffe\U0010fffd" * 5
    measured = measure_baselines(vocabulary.encode(text), vocabulary.encode(text), vocabulary)
    assert measured["trigram"] == pytest.approx(expected_bits(text, text, 3, len(symbols)), rel=1e-9)


@pytest.mark.parametrize("vocabulary", [ABCD, Vocabulary("byte")], ids=["char", "byte"])
def test_gzip_is_the_compressed_size(vocabulary: Vocabulary) -> None:
    """The gzip baseline is the size of the deflate output in bits per symbol of the validation text."""
    text = 30 * "abcaabdd"
    assert measure("ab", text, vocabulary)["gzip"] == 8 * len(zlib.compress(text.encode(), 9)) / len(text)


def test_long_texts_are_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of long texts, only the end of the training part is counted and the start of the validation part measured."""
    monkeypatch.setattr(baselines, "MAX_COUNTED", 6)
    monkeypatch.setattr(baselines, "MAX_MEASURED", 4)
    assert measure("dddd" + "abcabc", "abca" + "dddd") == measure("abcabc", "abca")
    assert all(a != b for a, b in pairwise(measure("abcabc", "abca").values()))
