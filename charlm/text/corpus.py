"""Corpora: text of any size as ids on disk, in a cache that is keyed by content.

A text that is encoded is read once, a chunk at a time, and what is stored comes from that one reading. A text that may
be in the cache is first read for its digest.
"""

import hashlib
import shutil
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.system.cache import cache_directory
from charlm.system.files import create_atomically, scratch_directory
from charlm.text.drafts import Progress
from charlm.text.encoded import IDS_NAME, UNREADABLE, EarlierVersionError, Encoded, may_be_encoded
from charlm.text.numbering import join_drafts
from charlm.text.parts import write_drafts
from charlm.text.sources import Source, find_sources
from charlm.text.vocabulary import Level, Vocabulary

DIGEST_FORMAT = 1
"""Part of every digest; checkpoints store digests, so a change of it makes their texts count as changed."""


@dataclass(frozen=True)
class Corpus:
    """A text as ids.

    Attributes:
        name: the path of the text.
        ids: (N,) of the narrowest unsigned type that holds every id, mapped from disk.
        vocabulary: its symbols, in order of code points; after ``extend``, others follow.
        counts: how often each symbol occurs, (V,) int64.
        digest: of its content and level, in hexadecimal; equal texts have equal digests.
    """

    name: str
    ids: Tensor
    vocabulary: Vocabulary
    counts: Tensor
    digest: str

    def extend(self, symbols: Iterable[str]) -> "Corpus":
        """Return the same text with a vocabulary that has further symbols after its own; they occur 0 times."""
        vocabulary = self.vocabulary.extend(symbols)
        counts = torch.cat([self.counts, self.counts.new_zeros(len(vocabulary) - len(self.vocabulary))])
        return replace(self, vocabulary=vocabulary, counts=counts)


def load_corpus(path: str, level: Level, progress: Progress = lambda _, chunks: chunks) -> Corpus:
    """Return the corpus that a path names, from the cache if it was encoded before.

    An encoding in the cache that is damaged or of an earlier version is replaced, with a warning.

    Args:
        path: a file, a directory, a glob, or ``builtin:NAME``.
        level: ``char`` for Unicode code points of UTF-8 text, ``byte`` for bytes as they are.
        progress: shows the progress of each reading.

    Raises:
        InputError: nothing is there, the text cannot be read, changes while it is read, is empty, or (level ``char``)
            is not UTF-8.
        CharlmError: the cache cannot be written.
    """
    sources = find_sources(path)
    corpora = cache_directory() / "corpora"
    sizes = [source.num_bytes for source in sources]
    num_bytes = None if None in sizes else sum(filter(None, sizes))
    if may_be_encoded(corpora, num_bytes):
        digest = _combine(level, (_read_digest(source, progress) for source in sources))
        if corpus := _open_cached(corpora / digest, path, progress):
            return corpus
    try:
        return _encode(sources, level, corpora, num_bytes, path, progress)
    except OSError as error:
        raise CharlmError(
            f"{corpora}: cannot write the encoded corpus: {error.strerror or error}. "
            "Free disk space, or set the environment variable CHARLM_CACHE_DIR to a directory that can be written to."
        ) from None


def _read_digest(source: Source, progress: Progress) -> bytes:
    digest = hashlib.sha256()
    for chunk in progress("reading", source.chunks()):
        digest.update(chunk)
    return digest.digest()


def _combine(level: Level, digests: Iterable[bytes]) -> str:
    """Return the digest of a corpus from those of its sources."""
    whole = hashlib.sha256(f"charlm corpus {DIGEST_FORMAT} {level}".encode())
    for digest in digests:
        whole.update(digest)
    return whole.hexdigest()


def _open_cached(folder: Path, name: str, progress: Progress) -> Corpus | None:
    """Return a corpus from the cache; None if it is not there, or cannot be used and is deleted.

    Raises:
        CharlmError: it cannot be used and cannot be deleted.
    """
    if not folder.is_dir():
        return None
    try:
        encoded = Encoded.read(folder)
        encoded.verify_ids(folder, progress)
        return _open(encoded, folder, name)
    except EarlierVersionError:
        reason = "of an earlier version of charlm"
    except UNREADABLE as error:
        reason = f"damaged ({error})"
    problem = f"{folder}: the encoding of {name} in the cache is {reason}"
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise CharlmError(f"{problem} and cannot be deleted. Delete it, or set CHARLM_CACHE_DIR to another directory.")
    warnings.warn(f"{problem}; the text is encoded again.", stacklevel=3)
    return None


def _open(encoded: Encoded, folder: Path, name: str) -> Corpus:
    return Corpus(name, encoded.map_ids(folder), encoded.vocabulary, encoded.counts, digest=folder.name)


def _encode(
    sources: list[Source], level: Level, corpora: Path, num_bytes: int | None, name: str, progress: Progress
) -> Corpus:
    """Encode a text into the cache; if another process does so at the same time, the files of one of them stay.

    Raises:
        InputError: the text cannot be encoded.
        OSError: the cache cannot be written.
    """
    corpora.mkdir(parents=True, exist_ok=True)
    with scratch_directory(corpora) as scratch:
        drafts = write_drafts(sources, level, scratch, torch.get_num_threads(), progress)
        folder = corpora / _combine(level, chain.from_iterable(draft.digests for draft in drafts))
        if corpus := _open_cached(folder, name, progress):
            return corpus
        found = join_drafts(drafts, level, scratch / IDS_NAME, progress)
        if not found.counts.any():
            raise InputError(f"{name}: the corpus is empty.")
        vocabulary = Vocabulary(level, map(chr, found.codes.tolist()))
        encoded = Encoded(vocabulary, torch.from_numpy(found.counts), num_bytes, found.checksums)
        with create_atomically(folder) as unfinished:
            unfinished.mkdir()
            (scratch / IDS_NAME).rename(unfinished / IDS_NAME)
            encoded.write(unfinished)
    return _open(encoded, folder, name)
