"""Chunks of UTF-8 to code points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import InputError
from charlm.text.decoding import BYTE_ORDER_MARK, decode
from charlm.text.sources import Source

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def cut(data: bytes, size: int) -> list[bytes]:
    """Return the data in chunks."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def decode_all(data: bytes, size: int = 4) -> str:
    """Return the text of data that is decoded in chunks."""
    chunks = cut(data, size)
    return "".join(chr(code) for codes in decode(Source("a.txt", lambda: iter(chunks)), chunks) for code in codes)


@given(TEXT, st.integers(3, 9))
def test_any_text_is_decoded(text: str, size: int) -> None:
    """The code points are those of the text without its byte-order mark, for any chunk boundaries."""
    assert decode_all(text.encode(), size) == text.removeprefix(BYTE_ORDER_MARK)


@given(st.binary(), st.integers(3, 9))
def test_any_bytes_are_decoded_or_refused(data: bytes, size: int) -> None:
    """Bytes are decoded exactly where Python decodes them and they have no NUL."""
    try:
        expected = data.decode()
    except UnicodeDecodeError:
        expected = "\0"
    if "\0" in expected:
        with pytest.raises(InputError):
            decode_all(data, size)
    else:
        assert decode_all(data, size) == expected.removeprefix(BYTE_ORDER_MARK)


@pytest.mark.parametrize(
    ("data", "position"),
    [
        (b"\xff", "line 1, byte offset 0: the byte 0xff is not UTF-8 (invalid start byte)"),
        (b"ab\ncd\n\nef\xe9gh\nij", "line 4, byte offset 9: the byte 0xe9 is not UTF-8 (invalid continuation byte)"),
        (b"a\n\xc3\xa9\n\xe2\x82\n", "line 3, byte offset 5: the byte 0xe2 is not UTF-8 (invalid continuation byte)"),
        (b"abc\xe2abc", "line 1, byte offset 3: the byte 0xe2 is not UTF-8 (invalid continuation byte)"),
        (b"abc\n\n\n\xf0\x9f\x98", "line 4, byte offset 6: the byte 0xf0 is not UTF-8 (unexpected end of data)"),
        (b"abc\n\x80\n", "line 2, byte offset 4: the byte 0x80 is not UTF-8 (invalid start byte)"),
    ],
)
def test_invalid_utf8_is_located(data: bytes, position: str) -> None:
    """Invalid UTF-8 is reported with file, line and byte offset, also in a later chunk or across two chunks."""
    with pytest.raises(InputError) as raised:
        decode_all(data)
    assert str(raised.value) == f"a.txt: {position}. Convert the file to UTF-8, or use data.level=byte."


def test_a_binary_file_is_refused() -> None:
    """A file with NUL characters is refused as binary, and the error suggests level byte."""
    with pytest.raises(
        InputError, match=r"a\.txt: contains NUL characters and is not a text file\. Use data\.level=byte"
    ):
        decode_all(b"abcdef\0g")
