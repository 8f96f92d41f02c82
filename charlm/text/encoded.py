"""Encoded corpora in the cache: a directory each, whose content is verified by checksums.

``meta.json`` holds the vocabulary, the counts and the checksums, among them its own. ``ids.bin`` is verified once per
machine and state of the file; a stamp beside it stores which state that was.
"""

import hashlib
import json
import platform
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charlm.errors import CharlmError, InputError
from charlm.system.files import write_atomically
from charlm.system.reading import open_regular
from charlm.text.drafts import Progress, id_type
from charlm.text.vocabulary import Vocabulary

IDS_NAME = "ids.bin"
META_NAME = "meta.json"

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, InputError)
"""Exceptions of reading an encoded corpus that is incomplete, damaged, or from an earlier version."""

TORCH_TYPES = {"uint8": torch.uint8, "uint16": torch.uint16, "int32": torch.int32}

READ_AT_ONCE = 1 << 18
"""Bytes that are verified at a time."""


MAX_META_BYTES = 1 << 26
"""Maximum size of meta.json; a vocabulary of all characters of Unicode takes 20 MB."""


class EarlierVersionError(ValueError):
    """An encoded corpus is of an earlier version, which stored no checksum, so it cannot be verified."""


@dataclass(frozen=True)
class Encoded:
    """What an encoded corpus holds beside its ids.

    Attributes:
        vocabulary: V symbols.
        counts: how often each occurs, (V,) int64.
        num_bytes: of the text; None if that was not known.
        checksums: number of bytes and CRC-32 of each part of the file with the ids, in order.
    """

    vocabulary: Vocabulary
    counts: Tensor
    num_bytes: int | None
    checksums: list[tuple[int, int]]

    def write(self, folder: Path) -> None:
        """Write all of it to a directory.

        Raises:
            OSError: it cannot be written.
        """
        meta = {
            "vocabulary": self.vocabulary.to_plain(),
            "counts": self.counts.tolist(),
            "num_symbols": int(self.counts.sum()),
            "num_bytes": self.num_bytes,
            "checksums": self.checksums,
        }
        (folder / META_NAME).write_text(json.dumps(meta | {"checksum": _checksum(meta)}), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> "Encoded":
        """Read it from a directory.

        Raises:
            EarlierVersionError: it is from an earlier version.
            UNREADABLE: it is incomplete or damaged.
        """
        meta = _read_meta(folder)
        if "checksum" not in meta:
            raise EarlierVersionError(META_NAME)
        if meta.pop("checksum") != _checksum(meta):
            raise ValueError(f"{META_NAME} does not have its checksum")
        checksums = [(num_bytes, checksum) for num_bytes, checksum in meta["checksums"]]
        vocabulary = Vocabulary.from_plain(meta["vocabulary"])
        return Encoded(vocabulary, torch.tensor(meta["counts"]), meta["num_bytes"], checksums)

    def map_ids(self, folder: Path) -> Tensor:
        """Return the ids (N,), mapped from disk.

        Raises:
            UNREADABLE: the file is missing or has another length.
        """
        file, dtype, num_symbols = folder / IDS_NAME, id_type(len(self.vocabulary)), int(self.counts.sum())
        if file.stat().st_size != num_symbols * dtype.itemsize:
            raise ValueError(f"{IDS_NAME} has {file.stat().st_size:,} bytes, not {num_symbols * dtype.itemsize:,}")
        return torch.from_file(str(file), shared=False, size=num_symbols, dtype=TORCH_TYPES[dtype.name])

    def verify_ids(self, folder: Path, progress: Progress) -> None:
        """Verify the file with the ids, unless this machine has done so and the file is unchanged since then.

        Raises:
            UNREADABLE: the file is missing or damaged.
        """
        stamp = folder / f"verified-{_hash(platform.node())[:16]}"
        state = _hash(f"{_state(folder / IDS_NAME)} {self.checksums}")
        with suppress(OSError, InputError), open_regular(stamp) as stream:
            if stream.read(len(state) + 1) == state.encode():
                return
        for _ in progress("verifying", self._read_verified(folder)):
            pass
        with suppress(CharlmError):  # without a stamp it is verified again next time
            write_atomically(stamp, state.encode())

    def _read_verified(self, folder: Path) -> Iterator[bytes]:
        dtype = id_type(len(self.vocabulary))
        with open_regular(folder / IDS_NAME) as stream:
            for num_bytes, expected in self.checksums:
                checksum = 0
                for start in range(0, num_bytes, READ_AT_ONCE):
                    piece = stream.read(min(READ_AT_ONCE, num_bytes - start))
                    if np.frombuffer(piece, dtype).max(initial=0) >= len(self.vocabulary):
                        raise ValueError(f"{IDS_NAME} has an id that is not in the vocabulary")
                    checksum = zlib.crc32(piece, checksum)
                    yield piece
                if checksum != expected:
                    raise ValueError(f"{IDS_NAME} does not have its checksum")


def may_be_encoded(corpora: Path, num_bytes: int | None) -> bool:
    """Return whether a directory of encoded corpora may hold a text of so many bytes; None if that is not known."""
    for folder in corpora.glob("[!.]*"):
        try:
            known = _read_meta(folder).get("num_bytes")
        except UNREADABLE:
            return True
        if num_bytes is None or known in (num_bytes, None):
            return True
    return False


def _read_meta(folder: Path) -> dict[str, Any]:
    with open_regular(folder / META_NAME) as stream:
        content = stream.read(MAX_META_BYTES + 1)
    if len(content) > MAX_META_BYTES:
        raise ValueError(f"{META_NAME} has over {MAX_META_BYTES:,} bytes")
    meta: dict[str, Any] = json.loads(content)
    return meta


def _checksum(meta: dict[str, Any]) -> str:
    return _hash(json.dumps(meta, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _state(file: Path) -> str:
    status = file.stat()
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
