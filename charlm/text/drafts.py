"""Drafts of a corpus: one reading of a text gives its digest, its symbols, their counts, and its ids as numbers.

All of them come from the same bytes, so they agree even if the text changes meanwhile. Ids are in order of code
points, which are known only at the end. Until then the file holds provisional numbers: 0 to 127 for ASCII, so that
ASCII is written as it is read, then the next number for each other symbol that is found.

Dimensions: N symbols of the text, K numbers, V symbols of the vocabulary.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from charlm.text.decoding import decode
from charlm.text.sources import Source

if TYPE_CHECKING:
    from charlm.text.vocabulary import Level

NUM_CODE_POINTS = 0x110000
NUM_ASCII = 128

PIECE_LENGTH = 1 << 18
"""Numbers that are read and written at a time: few enough to stay in a processor's cache."""

Progress = Callable[[str, Iterable[bytes]], Iterable[bytes]]
"""Wraps the chunks of one reading, which its first argument names, to show its progress."""

Integers = NDArray[Any]


@dataclass(frozen=True)
class Draft:
    """A text as numbers on disk.

    Attributes:
        path: of the file with the numbers, (N,).
        digests: SHA-256 of each source.
        codes: the code point or byte of each number, (K,).
        counts: how often each number occurs, (K,).
    """

    path: Path
    digests: list[bytes]
    codes: Integers
    counts: Integers


def id_type(num_ids: int) -> np.dtype[Any]:
    """Return the narrowest type that holds so many ids, among those that torch knows."""
    if num_ids <= 1 << 8:
        return np.dtype(np.uint8)
    return np.dtype(np.uint16) if num_ids <= 1 << 16 else np.dtype(np.int32)


def write_draft(sources: Sequence[Source], level: "Level", path: Path, progress: Progress) -> Draft:
    """Read a text once and write it as numbers.

    Args:
        sources: the text.
        level: ``char`` or ``byte``.
        path: the file to create.
        progress: shows the progress.

    Raises:
        InputError: a source cannot be read, changes while it is read, or (level ``char``) is not UTF-8 text.
        OSError: the file cannot be written.
    """
    hashes = [hashlib.sha256() for _ in sources]
    with path.open("wb+") as stream:
        writer = _Writer(stream, level)
        for source, digest in zip(sources, hashes, strict=True):
            chunks = _hash(progress("encoding", source.chunks()), digest)
            for codes in decode(source, chunks) if level == "char" else (np.frombuffer(c, np.uint8) for c in chunks):
                writer.write(codes)
    return Draft(path, [digest.digest() for digest in hashes], np.array(writer.codes), writer.count())


class _Writer:
    """Writes code points as numbers and counts them.

    Attributes:
        codes: the code point of each number, (K,).
    """

    def __init__(self, stream: BinaryIO, level: "Level") -> None:
        self.codes = list(range(256 if level == "byte" else NUM_ASCII))
        self._stream = stream
        self._type = id_type(len(self.codes))
        self._numbers = np.zeros(NUM_CODE_POINTS, self._type)  # of each code point; 0 for one without
        self._numbers[:NUM_ASCII] = np.arange(NUM_ASCII)
        self._counts = np.zeros(NUM_CODE_POINTS, np.int64)
        self._pair_counts = np.zeros(1 << 16, np.int64)

    def write(self, codes: Integers) -> None:
        """Write bytes, ASCII (n,) uint8, or code points (n,) uint32 without NUL."""
        numbers = codes if codes.dtype == np.uint8 else self._number(codes)
        numbers = numbers.astype(self._type, copy=False)
        self._add_counts(numbers)
        self._stream.write(numbers.data)

    def count(self) -> Integers:
        """Return how often each number occurs, (K,)."""
        pairs = self._pair_counts.reshape(256, 256)
        self._counts[:256] += pairs.sum(0) + pairs.sum(1)
        self._pair_counts[:] = 0
        return self._counts[: len(self.codes)]

    def _number(self, codes: Integers) -> Integers:
        numbers = self._numbers.take(codes)
        if not numbers.all():
            self._add_symbols(np.unique(codes[numbers == 0]))
            numbers = self._numbers.take(codes)
        return numbers

    def _add_symbols(self, codes: Integers) -> None:
        first = len(self.codes)
        self.codes += codes.tolist()
        if id_type(len(self.codes)) != self._type:
            self._widen(id_type(len(self.codes)))
        self._numbers[codes] = np.arange(first, len(self.codes))

    def _widen(self, new: np.dtype[Any]) -> None:
        """Write what is in the file as a wider type, from its end so that nothing unread is overwritten."""
        old, self._type = self._type, new
        self._numbers = self._numbers.astype(new)
        end = self._stream.tell() // old.itemsize
        for start in reversed(range(0, end, PIECE_LENGTH)):
            self._stream.seek(start * old.itemsize)
            piece = self._stream.read(min(PIECE_LENGTH, end - start) * old.itemsize)
            self._stream.seek(start * new.itemsize)
            self._stream.write(np.frombuffer(piece, old).astype(new).data)
        self._stream.seek(end * new.itemsize)

    def _add_counts(self, numbers: Integers) -> None:
        if numbers.dtype == np.uint8:  # counting pairs takes half as long
            is_odd = len(numbers) % 2
            self._counts[numbers[len(numbers) - is_odd :]] += 1
            pairs = numbers[: len(numbers) - is_odd].view(np.uint16)
            self._pair_counts += np.bincount(pairs, minlength=1 << 16)
        else:
            counts = np.bincount(numbers)
            self._counts[: len(counts)] += counts


def _hash(chunks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
