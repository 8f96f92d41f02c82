"""Vocabularies: encode text to ids and decode ids to text."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import InputError
from charlm.text.vocabulary import Level, OnUnknown, Vocabulary

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS)


@given(TEXT)
def test_char_round_trip(text: str) -> None:
    """Decoding inverts encoding for every vocabulary that contains the characters."""
    vocabulary = Vocabulary("char", sorted(set(text)) or "a")
    ids = vocabulary.encode(text)
    assert ids.dtype == torch.int64
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.to_bytes(ids) == text.encode()


@given(TEXT)
def test_byte_round_trip(text: str) -> None:
    """A byte vocabulary encodes any text, with one id for each byte of its UTF-8."""
    vocabulary = Vocabulary("byte")
    ids = vocabulary.encode(text)
    assert ids.tolist() == list(text.encode())
    assert ids.dtype == torch.int64
    assert vocabulary.decode(ids) == text


@given(st.binary())
def test_invalid_utf8_round_trip(data: bytes) -> None:
    """Invalid UTF-8 is preserved through text with surrogate escapes."""
    vocabulary = Vocabulary("byte")
    ids = vocabulary.encode(data.decode("utf-8", "surrogateescape"))
    assert vocabulary.to_bytes(ids) == data
    assert vocabulary.decode(ids) == data.decode("utf-8", "replace")


@given(st.sets(CHARACTERS, min_size=1), st.lists(CHARACTERS))
def test_extended_vocabulary(symbols: set[str], more: list[str]) -> None:
    """The symbols keep their ids, and each further symbol follows once."""
    vocabulary = Vocabulary("char", sorted(symbols))
    extended = vocabulary.extend(more)
    assert extended.symbols[: len(vocabulary)] == vocabulary.symbols
    assert set(extended.symbols) == symbols | set(more)
    assert Vocabulary("byte").extend(more) == Vocabulary("byte")


@given(TEXT, st.sampled_from(["char", "byte"]), st.lists(st.integers(0, 40)))
def test_incremental_decoding(text: str, level: Level, cuts: list[int]) -> None:
    """Incremental decoding gives the text, for any partition of the ids into pieces."""
    vocabulary = Vocabulary(level, sorted(set(text)) or "a")
    ids = vocabulary.encode(text)
    decoder = vocabulary.decoder()
    bounds = [0, *sorted(min(cut, len(ids)) for cut in cuts), len(ids)]
    pieces = [decoder.decode(vocabulary.to_bytes(ids[a:b])) for a, b in itertools.pairwise(bounds)]
    assert "".join(pieces) == text
    assert decoder.decode(b"", final=True) == ""


def test_a_decoder_waits_for_a_whole_character() -> None:
    """A character is returned with its last byte; an incomplete one becomes U+FFFD at the end."""
    decoder = Vocabulary("byte").decoder()
    assert [decoder.decode(bytes([byte])) for byte in "😀".encode()] == ["", "", "", "😀"]
    assert decoder.decode("é".encode()[:1]) == ""
    assert decoder.decode(b"", final=True) == "\ufffd"


def test_unknown_characters_are_reported() -> None:
    """Each unknown character is reported once, with its name, its first position and the nearest known character."""
    with pytest.raises(InputError) as raised:
        Vocabulary("char", "\n Eab,").encode("aé\x01é—B", where="the prompt")
    assert str(raised.value) == (
        "these characters are not in the vocabulary of the model:\n"
        "  'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE), character 2 of the prompt; the nearest known is 'E'\n"
        "  '\\x01' (U+0001 unnamed), character 3 of the prompt; the nearest known is '\\n'\n"
        "  '—' (U+2014 EM DASH), character 5 of the prompt; the nearest known is ','\n"
        "  'B' (U+0042 LATIN CAPITAL LETTER B), character 6 of the prompt; the nearest known is 'b'\n"
        "Use --on-unknown skip or --on-unknown replace to continue."
    )


def test_many_unknown_characters_are_counted() -> None:
    """More than ten unknown characters are only counted."""
    with pytest.raises(InputError, match=r"\n  and 3 more\nUse --on-unknown") as raised:
        Vocabulary("char", "a").encode("bcdefghijklmn")
    assert str(raised.value).count("the nearest known is") == 10


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [("A", "a"), ("é", "e"), ("É", "e"), ("ﬁ", "f"), ("２", "2"), ("7", "2"), ("!", "?"), ("…", ".")],
)
def test_nearest_character(unknown: str, nearest: str) -> None:
    """The nearest character is the other case, the base letter, or of the same category."""
    assert Vocabulary("char", " .?2aef").nearest(unknown) == nearest


@pytest.mark.parametrize(("on_unknown", "text"), [("skip", "aa"), ("replace", "aaba")])
def test_unknown_characters_are_skipped_or_replaced(on_unknown: OnUnknown, text: str) -> None:
    """Unknown characters are skipped, or replaced with the nearest known ones."""
    vocabulary = Vocabulary("char", "ab")
    assert vocabulary.decode(vocabulary.encode("aÀBa", on_unknown)) == text


def test_empty_text_gives_no_ids() -> None:
    """An empty text, or one in which all characters are skipped, gives an empty tensor."""
    for ids in (Vocabulary("char", "a").encode("xyz", "skip"), Vocabulary("byte").encode("")):
        assert ids.shape == (0,)
        assert ids.dtype == torch.int64


@given(st.sets(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["char", "byte"]))
def test_serialization_round_trip(symbols: set[str], level: Level) -> None:
    """``from_plain`` inverts ``to_plain``."""
    vocabulary = Vocabulary(level, sorted(symbols))
    assert Vocabulary.from_plain(vocabulary.to_plain()) == vocabulary


@pytest.mark.parametrize(
    "plain",
    [{}, {"level": "word", "symbols": "ab"}, {"level": "char"}, {"level": "char", "symbols": ["a"]},
     {"level": "char", "symbols": ""}, {"level": "char", "symbols": "aba"}],
)  # fmt: skip
def test_invalid_descriptions_are_refused(plain: dict[str, object]) -> None:
    """An invalid description raises ValueError."""
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary.from_plain(plain)


@pytest.mark.parametrize(("symbols", "reason"), [([], "at least one"), (["ab"], "single"), (["a", "a"], "twice")])
def test_invalid_symbols_are_refused(symbols: list[str], reason: str) -> None:
    """No symbols, symbols of several characters, and repeated symbols raise ValueError."""
    with pytest.raises(ValueError, match=reason):
        Vocabulary("char", symbols)


def test_vocabularies_are_compared_by_level_and_order() -> None:
    """Vocabularies are equal only if they have the same level and the same symbols at the same ids."""
    assert Vocabulary("char", "ab") == Vocabulary("char", ["a", "b"])
    assert Vocabulary("char", "ab") != Vocabulary("char", "ba")
    assert Vocabulary("byte") != Vocabulary("char", map(chr, range(256)))
    assert Vocabulary("char", "ab") != "ab"
    assert len(Vocabulary("byte")) == 256
