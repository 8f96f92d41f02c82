"""Every character of a text is visible, and none of them can reorder or break the text around it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.pictures import INVISIBLE, JOINERS, name_symbol, picture, picture_text


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("a", "a"), (" ", " "), ("\n", "↵"), ("\0", "␀"), ("\t", "␉"), ("\r", "␍"), ("\x1b", "␛"), ("\x7f", "␡"),
        ("\x85", "[U+0085]"), ("\u202e", "[U+202E]"), ("\u2028", "[U+2028]"), ("\ud800", "[U+D800]"),
        ("\u200d", "\u200d"), ("ক", "ক"), ("界", "界"), ("א", "א"),
    ],
)  # fmt: skip
def test_picture(symbol: str, shown: str) -> None:
    """Controls have their pictures, other invisible characters their code points, and letters are themselves."""
    assert picture(symbol) == shown


@given(st.characters(exclude_characters=JOINERS))
def test_no_picture_is_invisible(symbol: str) -> None:
    """What is shown has no control, format or surrogate character."""
    assert not {unicodedata.category(each) for each in picture(symbol)} & {*INVISIBLE}


@pytest.mark.parametrize(
    ("symbol", "level", "name"),
    [
        (" ", "char", "␣"), ("\xff", "byte", "0xFF"), ("\xff", "char", "ÿ"), ("\u0301", "char", "◌\u0301"),
        ("\xa0", "char", "[U+00A0]"), ("\u3000", "char", "[U+3000]"), ("\u200d", "char", "[U+200D]"),
    ],
)  # fmt: skip
def test_names_stand_alone(symbol: str, level: str, name: str) -> None:
    """In a list, blanks, bytes, combining marks and joiners can be read."""
    assert name_symbol(symbol, level) == name


def test_bytes_show_the_characters_that_they_form() -> None:
    """The last byte of a character shows it; bytes that belong to none show their number."""
    text = "aé界".encode() + b"\xff\xe7\x95" + b"\xed\xa0\x80" + "😀".encode()
    symbols = [chr(byte) for byte in text]
    shown = ["a", "·", "é", "·", "·", "界", "[FF]", "[E7]", "[95]", "[ED]", "[A0]", "[80]", "·", "·", "·", "😀"]
    assert picture_text(symbols, "byte") == shown


@given(st.binary())
def test_every_byte_has_a_picture(data: bytes) -> None:
    """Any bytes give one picture each."""
    assert len(picture_text([chr(byte) for byte in data], "byte")) == len(data)


@given(st.text(st.characters()))
def test_every_character_has_a_picture(text: str) -> None:
    """Any text gives one picture for each character."""
    assert picture_text(text, "char") == [picture(symbol) for symbol in text]
