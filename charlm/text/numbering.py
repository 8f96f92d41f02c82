"""The numbers of drafts replaced by ids, and the drafts joined to one file.

Dimensions: N symbols of the text, K numbers of a draft, V symbols of the vocabulary.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charlm.text.drafts import NUM_CODE_POINTS, PIECE_LENGTH, Draft, Integers, Progress, id_type
from charlm.text.threads import Report, run_together

if TYPE_CHECKING:
    from charlm.text.vocabulary import Level


@dataclass(frozen=True)
class Numbering:
    """The ids of a text.

    Attributes:
        codes: the code point or byte of each id, (V,).
        counts: how often each id occurs, (V,) int64.
        checksums: number of bytes and CRC-32 of each part of the file with the ids, in order.
    """

    codes: Integers
    counts: Integers
    checksums: list[tuple[int, int]]


def join_drafts(drafts: Sequence[Draft], level: "Level", path: Path, progress: Progress) -> Numbering:
    """Turn drafts into one file of ids, which are in order of code points; delete the drafts.

    Args:
        drafts: in the order of the text.
        level: ``char`` or ``byte``.
        path: of the file to create.
        progress: shows the progress.

    Raises:
        OSError: the file cannot be written.
    """
    counts = np.zeros(NUM_CODE_POINTS, np.int64)  # of each code point or byte
    for draft in drafts:
        counts[draft.codes] += draft.counts
    codes = np.arange(256) if level == "byte" else counts.nonzero()[0]
    places = np.zeros(NUM_CODE_POINTS, np.int64)  # the id of each code point
    places[codes] = np.arange(len(codes))
    tables = [places[draft.codes] for draft in drafts]
    if len(drafts) == 1:
        checksum = replace_numbers(drafts[0], tables[0], len(codes), progress)
        drafts[0].path.rename(path)
        return Numbering(codes, counts[codes], [(path.stat().st_size, checksum)])
    sizes = [int(draft.counts.sum()) * id_type(len(codes)).itemsize for draft in drafts]
    path.touch()
    works = [
        partial(write_ids, draft, table, len(codes), path, end - size)
        for draft, table, size, end in zip(drafts, tables, sizes, accumulate(sizes), strict=True)
    ]
    checksums = run_together(works, "numbering", progress)
    return Numbering(codes, counts[codes], list(zip(sizes, checksums, strict=True)))


def replace_numbers(draft: Draft, ids: Integers, num_ids: int, progress: Progress) -> int:
    """Replace the numbers in the file of a draft by ids; return the CRC-32 of the file.

    Args:
        draft: the text.
        ids: the id of each number, (K,).
        num_ids: V, at most K.
        progress: shows the progress.

    Raises:
        OSError: the file cannot be written.
    """
    is_same = id_type(len(ids)) == id_type(num_ids) and np.array_equal(ids, np.arange(len(ids)))
    convert = _conversion(ids, num_ids)
    checksum = 0
    with draft.path.open("rb+") as stream:
        for piece in progress("numbering", _read_pieces(draft)):
            content = memoryview(piece) if is_same else convert(piece)
            checksum = zlib.crc32(content, checksum)
            if not is_same:
                stream.write(content)  # never past what was read, because ids are not wider than numbers
        if not is_same:
            stream.truncate()
    return checksum


def write_ids(draft: Draft, ids: Integers, num_ids: int, path: Path, start: int, report: Report) -> int:
    """Write the ids of a draft into a part of a larger file, and delete the draft; return the CRC-32 of the part.

    Args:
        draft: a part of the text.
        ids: the id of each of its numbers, (K,).
        num_ids: V, of the whole text.
        path: of the file, which exists.
        start: the byte at which the part begins.
        report: is told how many more bytes have been read.

    Raises:
        OSError: the file cannot be written.
    """
    convert = _conversion(ids, num_ids)
    checksum = 0
    with path.open("rb+") as stream:
        stream.seek(start)
        for piece in _read_pieces(draft):
            content = convert(piece)
            checksum = zlib.crc32(content, checksum)
            stream.write(content)
            report(len(piece))
    draft.path.unlink()
    return checksum


def _read_pieces(draft: Draft) -> Iterator[bytes]:
    with draft.path.open("rb") as stream:
        while piece := stream.read(PIECE_LENGTH * id_type(len(draft.codes)).itemsize):
            yield piece


def _conversion(ids: Integers, num_ids: int) -> Callable[[bytes], memoryview]:
    """Return a function that turns the bytes of numbers into those of ids."""
    old, new = id_type(len(ids)), id_type(num_ids)
    look_up: Callable[[Integers], Any] = _byte_lookup(ids) if old == new == np.uint8 else ids.astype(new).take
    return lambda piece: look_up(np.frombuffer(piece, old)).data


def _byte_lookup(ids: Integers) -> Callable[[Integers], Integers]:
    """Return a function that maps numbers to ids, both uint8; two at a time, which takes half as long."""
    single = np.zeros(256, np.uint8)
    single[: len(ids)] = ids
    pairs = (single + (single.astype(np.uint16)[:, None] << 8)).ravel()

    def look_up(numbers: Integers) -> Integers:
        if len(numbers) % 2:
            return single.take(numbers)
        return pairs.take(numbers.view(np.uint16)).view(np.uint8)

    return look_up
