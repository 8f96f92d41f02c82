"""Chunks of UTF-8 to code points, with errors that name the line and the byte."""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from charlm.errors import InputError
from charlm.text.sources import Source

BYTE_ORDER_MARK = "\ufeff"


def decode(source: Source, chunks: Iterable[bytes]) -> Iterator[NDArray[np.uint8] | NDArray[np.uint32]]:
    """Yield the code points of UTF-8, (n,) per chunk, without a byte-order mark at the start.

    Args:
        source: where the chunks come from.
        chunks: its bytes.

    Yields:
        A chunk of ASCII as uint8, any other as uint32.

    Raises:
        InputError: the bytes are not UTF-8, or contain NUL characters.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    for chunk in chain(chunks, [b""]):
        if b"\0" in chunk:
            raise InputError(f"{source.name}: contains NUL characters and is not a text file. Use data.level=byte.")
        pending = len(decoder.getstate()[0])
        if chunk.isascii() and not pending:
            yield np.frombuffer(chunk, np.uint8)
        else:
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise InputError(_describe_bad_byte(source, offset - pending + error.start, error)) from None
            if offset == 0:
                text = text.removeprefix(BYTE_ORDER_MARK)
            yield np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
        offset += len(chunk)


def _describe_bad_byte(source: Source, offset: int, error: UnicodeDecodeError) -> str:
    """Return the message about a byte that is not UTF-8, with its line, which takes another reading."""
    before = 0
    line = 1
    for chunk in source.chunks():
        line += chunk.count(b"\n", 0, max(0, offset - before))
        before += len(chunk)
        if before > offset:
            break
    return (
        f"{source.name}: line {line}, byte offset {offset}: the byte 0x{error.object[error.start]:02x} is not UTF-8 "
        f"({error.reason}). Convert the file to UTF-8, or use data.level=byte."
    )
