"""Corpora: text of any size as ids on disk, in a cache that is keyed by content.

The bytes are read three times, a chunk at a time: to find their digest, to count the symbols, and to write the ids.
A corpus that was encoded before is only read for its digest.
"""

import codecs
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.system.cache import cache_directory
from charlm.system.files import create_atomically
from charlm.text.sources import Source, find_sources
from charlm.text.vocabulary import Level, Vocabulary

CACHE_FORMAT = 1

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions of reading an encoded corpus that is incomplete or damaged."""

NUM_CODE_POINTS = 0x110000
BYTE_ORDER_MARK = "\ufeff"

Progress = Callable[[str, Iterable[bytes]], Iterable[bytes]]
"""Wraps the chunks of one reading, which its first argument names, to show its progress."""


@dataclass(frozen=True)
class Corpus:
    """A text as ids.

    Attributes:
        name: the path of the text.
        ids: (N,) of the narrowest unsigned type that holds every id, mapped from disk.
        vocabulary: its symbols, in order of code points.
        counts: how often each symbol occurs, (V,) int64.
        digest: of its content and level, in hexadecimal; equal texts have equal digests.
    """

    name: str
    ids: Tensor
    vocabulary: Vocabulary
    counts: Tensor
    digest: str


def load_corpus(path: str, level: Level, progress: Progress = lambda _, chunks: chunks) -> Corpus:
    """Return the corpus that a path names, from the cache if it was encoded before.

    Args:
        path: a file, a directory, a glob, or ``builtin:NAME``.
        level: ``char`` for Unicode code points of UTF-8 text, ``byte`` for bytes as they are.
        progress: shows the progress of each reading.

    Raises:
        InputError: nothing is there, the text cannot be read, is empty, or (level ``char``) is not UTF-8.
    """
    sources = find_sources(path)
    digest = _digest(sources, level, progress)
    folder = cache_directory() / "corpora" / digest
    if folder.is_dir():
        try:
            return _open_encoded(folder, path, digest)
        except UNREADABLE:  # the cached files are damaged
            shutil.rmtree(folder, ignore_errors=True)
    _encode(sources, level, folder, progress, path)  # another process may have done so meanwhile; its files stay
    return _open_encoded(folder, path, digest)


def _digest(sources: list[Source], level: Level, progress: Progress) -> str:
    whole = hashlib.sha256(f"charlm corpus {CACHE_FORMAT} {level}".encode())
    for source in sources:
        part = hashlib.sha256()
        for chunk in progress("reading", source.chunks()):
            part.update(chunk)
        whole.update(part.digest())
    return whole.hexdigest()


def _open_encoded(folder: Path, name: str, digest: str) -> Corpus:
    """Return an encoded corpus from the cache.

    Raises:
        UNREADABLE: it is incomplete or damaged.
    """
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    vocabulary = Vocabulary.from_plain(meta["vocabulary"])
    file, dtype = folder / "ids.bin", _id_type(len(vocabulary))
    if file.stat().st_size != meta["num_symbols"] * dtype.itemsize or len(meta["counts"]) != len(vocabulary):
        raise ValueError(f"{folder} is incomplete")
    ids = torch.from_file(str(file), shared=False, size=meta["num_symbols"], dtype=dtype)
    return Corpus(name, ids, vocabulary, torch.tensor(meta["counts"]), digest)


def _id_type(vocabulary_size: int) -> torch.dtype:
    if vocabulary_size <= 1 << 8:
        return torch.uint8
    return torch.uint16 if vocabulary_size <= 1 << 16 else torch.int32


def _encode(sources: list[Source], level: Level, folder: Path, progress: Progress, name: str) -> None:
    """Encode into a folder; if another process does so at the same time, the files of one of them stay.

    Raises:
        CharlmError: the folder cannot be written.
    """
    all_counts = torch.zeros(256 if level == "byte" else NUM_CODE_POINTS, dtype=torch.int64)
    for codes in _read_codes(sources, level, "counting", progress):
        counts = torch.bincount(codes)
        all_counts[: len(counts)] += counts
    num_symbols = int(all_counts.sum())
    if num_symbols == 0:
        raise InputError(f"{name}: the corpus is empty.")
    used = torch.arange(256) if level == "byte" else all_counts.nonzero().flatten()
    vocabulary = Vocabulary(level, map(chr, used.tolist()))
    table = torch.zeros(len(all_counts), dtype=torch.int32)  # from code to id
    table[used] = torch.arange(len(used), dtype=torch.int32)
    table = table.to(_id_type(len(vocabulary)))
    if table.dtype == torch.uint16:  # which index_select does not know
        table = table.view(torch.int16)
    meta = {"vocabulary": vocabulary.to_plain(), "counts": all_counts[used].tolist(), "num_symbols": num_symbols}

    chunks = _read_codes(sources, level, "encoding", progress)
    try:
        with create_atomically(folder) as unfinished:
            unfinished.mkdir()
            with (unfinished / "ids.bin").open("wb") as stream:
                stream.writelines(table.index_select(0, codes.to(torch.int32)).numpy().data for codes in chunks)
            (unfinished / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    except OSError as error:
        raise CharlmError(
            f"{folder.parent}: cannot write the encoded corpus: {error.strerror or error}. "
            "Free some disk space, or set the environment variable CHARLM_CACHE_DIR to another directory."
        ) from None


def _read_codes(sources: list[Source], level: Level, activity: str, progress: Progress) -> Iterator[Tensor]:
    """Yield the bytes or code points of every source, (n,) a chunk, uint8 or int32."""
    for source in sources:
        chunks = progress(activity, source.chunks())
        if level == "byte":
            yield from (torch.frombuffer(bytearray(chunk), dtype=torch.uint8) for chunk in chunks)
        else:
            yield from _decode(source, chunks)


def _decode(source: Source, chunks: Iterable[bytes]) -> Iterator[Tensor]:
    """Yield the code points of UTF-8, without a byte-order mark at the start."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    for chunk in chain(chunks, [b""]):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise InputError(_describe_bad_byte(source, offset - pending + error.start, error.reason)) from None
        if "\0" in text:
            raise InputError(f"{source.name}: contains NUL characters and is not a text file. Use data.level=byte.")
        if offset == 0:
            text = text.removeprefix(BYTE_ORDER_MARK)
        offset += len(chunk)
        if text:
            is_ascii = text.isascii()  # a quarter of the memory to move
            plain = text.encode("ascii" if is_ascii else "utf-32-le")
            yield torch.frombuffer(bytearray(plain), dtype=torch.uint8 if is_ascii else torch.int32)


def _describe_bad_byte(source: Source, offset: int, reason: str) -> str:
    """Return the error about a byte that is not UTF-8, with its line, which takes another reading."""
    before = 0
    line = 1
    value = b""
    for chunk in source.chunks():
        line += chunk.count(b"\n", 0, max(0, offset - before))
        if before <= offset < before + len(chunk):
            value = chunk[offset - before : offset - before + 1]
            break
        before += len(chunk)
    return (
        f"{source.name}: line {line}, byte offset {offset}: the byte 0x{value.hex()} is not UTF-8 ({reason}). "
        "Convert the file to UTF-8, or use data.level=byte."
    )
