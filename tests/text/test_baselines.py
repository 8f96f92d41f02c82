"""The baselines of a corpus: their names, the parts they use, and the sizes of the compressed text."""

import math
import random
import zlib
from itertools import pairwise

import pytest
import torch

from charlm.text import baselines
from charlm.text.baselines import measure_baselines
from charlm.text.vocabulary import Vocabulary

ABCD = Vocabulary("char", "abcd")


def measure(train: str, val: str, vocabulary: Vocabulary = ABCD) -> dict[str, float]:
    """Return the baselines of two texts."""
    return measure_baselines(vocabulary.encode(train).to(torch.uint8), vocabulary.encode(val), vocabulary)


@pytest.mark.parametrize("symbols", ["a", "ab", "abcdefg"])
def test_uniform_is_the_logarithm_of_the_vocabulary(symbols: str) -> None:
    """The uniform baseline is log2 V bits per symbol for any text."""
    assert measure("aaa", "aa", Vocabulary("char", symbols))["uniform"] == math.log2(len(symbols))


def test_unigram_of_a_known_case() -> None:
    """Three a and one b in a vocabulary of four symbols give p(a) = (3 + 2/4) / 6 and p(c) = (2/4) / 6."""
    expected = -(math.log2(3.5 / 6) + math.log2(0.5 / 6)) / 2
    assert measure("aaba", "ac")["unigram"] == pytest.approx(expected, rel=1e-12)


def test_trigram_uses_the_context() -> None:
    """If two symbols determine the next one, the trigram is far below the unigram; on random text it is not."""
    pattern = measure(200 * "aabb", 20 * "aabb")
    assert pattern["trigram"] < 0.1
    assert pattern["unigram"] > 0.9
    text = "".join(random.Random(1).choices("abcd", k=2000))  # noqa: S311  # not for cryptography
    assert measure(text[:1800], text[1800:])["trigram"] > 1.9


def test_names_and_their_order() -> None:
    """All baselines are measured; the n-gram models come before gzip."""
    assert list(measure("abab", "ba")) == ["uniform", "unigram", "trigram", "kneser_ney_6", "gzip", "gzip_primed"]


def test_kneser_ney_uses_five_symbols_of_context() -> None:
    """If five symbols determine the next one, Kneser-Ney is near 0 bits and the trigram is not."""
    measured = measure(100 * "aaaaab", 20 * "aaaaab")
    assert measured["kneser_ney_6"] < 0.1
    assert measured["trigram"] > 0.5


@pytest.mark.parametrize("vocabulary", [ABCD, Vocabulary("byte")], ids=["char", "byte"])
def test_gzip_is_the_compressed_size(vocabulary: Vocabulary) -> None:
    """The gzip baseline is the size of the deflate output in bits per symbol of the validation text."""
    text = 30 * "abcaabdd"
    assert measure("ab", text, vocabulary)["gzip"] == 8 * len(zlib.compress(text.encode(), 9)) / len(text)


@pytest.mark.parametrize("vocabulary", [ABCD, Vocabulary("byte")], ids=["char", "byte"])
def test_primed_gzip_has_the_end_of_the_training_part(vocabulary: Vocabulary) -> None:
    """The dictionary is the last 32 KiB of the training part: a text that occurs at their start compresses well."""
    noise = "".join(random.Random(2).choices("abcd", k=40_000))  # noqa: S311  # noise, no secret
    train, val = "a" * 5000 + noise, noise[-32_000:-29_000]
    packer = zlib.compressobj(9, zdict=train[-(1 << 15) :].encode())
    packed = packer.compress(val.encode()) + packer.flush()
    measured = measure(train, val, vocabulary)
    assert measured["gzip_primed"] == 8 * len(packed) / len(val)
    assert measured["gzip_primed"] < 0.1 * measured["gzip"]


def test_long_texts_are_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of long texts, only the end of the training part is counted and the start of the validation part measured."""
    monkeypatch.setattr(baselines, "MAX_COUNTED", 6)
    monkeypatch.setattr(baselines, "MAX_MEASURED", 4)
    assert measure("dddd" + "abcabc", "abca" + "dddd") == measure("abcabc", "abca")
    assert all(a != b for a, b in pairwise(measure("abcabc", "abca").values()))
