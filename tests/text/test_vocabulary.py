"""The symbols of a model, and text to ids and back."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import InputError
from charlm.text.vocabulary import Level, OnUnknown, Vocabulary

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_characters_come_back(text: str) -> None:
    """Decoding what was encoded is the identity for any vocabulary that has the characters."""
    vocabulary = Vocabulary("char", sorted(set(text)) or "a")
    ids = vocabulary.encode(text)
    assert ids.dtype == torch.int64
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.to_bytes(ids) == text.encode()


@given(TEXT)
def test_bytes_come_back(text: str) -> None:
    """A byte vocabulary encodes any text, one id for each byte of its UTF-8."""
    vocabulary = Vocabulary("byte")
    ids = vocabulary.encode(text)
    assert ids.tolist() == list(text.encode())
    assert ids.dtype == torch.int64
    assert vocabulary.decode(ids) == text


@given(st.binary())
def test_any_bytes_survive(data: bytes) -> None:
    """Bytes that are no UTF-8 come back as they were, through the text that stands for them."""
    vocabulary = Vocabulary("byte")
    ids = vocabulary.encode(data.decode("utf-8", "surrogateescape"))
    assert vocabulary.to_bytes(ids) == data
    assert vocabulary.decode(ids) == data.decode("utf-8", "replace")


@given(TEXT, st.sampled_from(["char", "byte"]), st.lists(st.integers(0, 40)))
def test_a_decoder_takes_pieces(text: str, level: Level, cuts: list[int]) -> None:
    """Wherever its ids are cut, a text decodes piece by piece to itself, and no piece holds half a character."""
    vocabulary = Vocabulary(level, sorted(set(text)) or "a")
    ids = vocabulary.encode(text)
    decoder = vocabulary.decoder()
    places = [0, *sorted(min(cut, len(ids)) for cut in cuts), len(ids)]
    pieces = [decoder.decode(vocabulary.to_bytes(ids[a:b])) for a, b in itertools.pairwise(places)]
    assert "".join(pieces) == text
    assert decoder.decode(b"", final=True) == ""


def test_a_decoder_waits_for_a_whole_character() -> None:
    """A character of four bytes appears with its last one, and an unfinished one as U+FFFD at the end."""
    decoder = Vocabulary("byte").decoder()
    assert [decoder.decode(bytes([byte])) for byte in "😀".encode()] == ["", "", "", "😀"]
    assert decoder.decode("é".encode()[:1]) == ""
    assert decoder.decode(b"", final=True) == "\ufffd"


def test_unknown_characters_are_named() -> None:
    """Every unknown character is told once, with its name, its first place and the nearest known one."""
    with pytest.raises(InputError) as raised:
        Vocabulary("char", "\n Eab,").encode("aé\x01é—B", where="the prompt")
    assert str(raised.value) == (
        "the model has never seen:\n"
        "  'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE), character 2 of the prompt; the nearest known is 'E'\n"
        "  '\\x01' (U+0001 unnamed), character 3 of the prompt; the nearest known is '\\n'\n"
        "  '—' (U+2014 EM DASH), character 5 of the prompt; the nearest known is ','\n"
        "  'B' (U+0042 LATIN CAPITAL LETTER B), character 6 of the prompt; the nearest known is 'b'\n"
        "Use --on-unknown skip or --on-unknown replace to go on."
    )


def test_many_unknown_characters_are_counted() -> None:
    """Beyond ten the unknown characters are only counted."""
    with pytest.raises(InputError, match=r"\n  and 3 more\nUse --on-unknown") as raised:
        Vocabulary("char", "a").encode("bcdefghijklmn")
    assert str(raised.value).count("the nearest known is") == 10


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [("A", "a"), ("é", "e"), ("É", "e"), ("ﬁ", "f"), ("２", "2"), ("7", "2"), ("!", "?"), ("…", ".")],
)
def test_the_nearest_is_alike(unknown: str, nearest: str) -> None:
    """The nearest character is the other case, the base letter, or of the same kind."""
    assert Vocabulary("char", " .?2aef").nearest(unknown) == nearest


@pytest.mark.parametrize(("on_unknown", "text"), [("skip", "aa"), ("replace", "aaba")])
def test_unknown_characters_are_skipped_or_replaced(on_unknown: OnUnknown, text: str) -> None:
    """Unknown characters are left out, or stand as their nearest ones."""
    vocabulary = Vocabulary("char", "ab")
    assert vocabulary.decode(vocabulary.encode("aÀBa", on_unknown)) == text


def test_nothing_encodes_to_no_ids() -> None:
    """An empty text, or one of skipped characters only, is an empty tensor of ids."""
    for ids in (Vocabulary("char", "a").encode("xyz", "skip"), Vocabulary("byte").encode("")):
        assert ids.shape == (0,)
        assert ids.dtype == torch.int64


@given(st.sets(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["char", "byte"]))
def test_plain_values_come_back(symbols: set[str], level: Level) -> None:
    """A vocabulary equals the one that its plain values describe, in level and in order."""
    vocabulary = Vocabulary(level, sorted(symbols))
    assert Vocabulary.from_plain(vocabulary.to_plain()) == vocabulary


@pytest.mark.parametrize(
    "plain",
    [{}, {"level": "word", "symbols": "ab"}, {"level": "char"}, {"level": "char", "symbols": ["a"]},
     {"level": "char", "symbols": ""}, {"level": "char", "symbols": "aba"}],
)  # fmt: skip
def test_other_plain_values_are_refused(plain: dict[str, object]) -> None:
    """Values that describe no vocabulary raise."""
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary.from_plain(plain)


@pytest.mark.parametrize(("symbols", "reason"), [([], "at least one"), (["ab"], "single"), (["a", "a"], "twice")])
def test_faulty_symbols_are_refused(symbols: list[str], reason: str) -> None:
    """A vocabulary has symbols, each of one character, each once."""
    with pytest.raises(ValueError, match=reason):
        Vocabulary("char", symbols)


def test_vocabularies_are_compared_by_level_and_order() -> None:
    """Equal are only vocabularies of one level with the same symbols at the same ids."""
    assert Vocabulary("char", "ab") == Vocabulary("char", ["a", "b"])
    assert Vocabulary("char", "ab") != Vocabulary("char", "ba")
    assert Vocabulary("byte") != Vocabulary("char", map(chr, range(256)))
    assert Vocabulary("char", "ab") != "ab"
    assert len(Vocabulary("byte")) == 256
