"""Sources of a corpus: a file, a directory, a glob, gzip, or a text that comes with Python."""

import errno
import glob
import gzip
import io
import os
import stat
import sysconfig
import tokenize
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from charlm.errors import InputError
from charlm.system.reading import open_regular
from charlm.text.public import CORPORA

CHUNK_BYTES = 1 << 18
"""Bytes of a corpus that are read at a time: so few that they stay in a processor's cache while they are encoded."""


MAX_EXPANSION = 200
"""How many times its size a gzip file may have in content; texts reach 3 to 20, and a file of one byte only 1,000."""

FREE_EXPANSION_BYTES = 1 << 26
"""Content that any gzip file may have."""


@dataclass(frozen=True)
class Source:
    """One input file, or a built-in text.

    Attributes:
        name: how errors refer to it.
        read: yields its bytes, ``CHUNK_BYTES`` at a time; a ``.gz`` file is decompressed.
        num_bytes: their number when the source was found; None if that is not known.
        stored_bytes: of the file, compressed or not; 0 if that is not known.
    """

    name: str
    read: Callable[[], Iterator[bytes]]
    num_bytes: int | None = None
    stored_bytes: int = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in order, ``CHUNK_BYTES`` at a time.

        Raises:
            InputError: the file cannot be read, changes while it is read, or its gzip is broken.
        """
        try:
            yield from self.read()
        except (OSError, EOFError, ValueError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.name}: cannot be read: {reason}.") from None


def find_sources(path: str) -> list[Source]:
    """Return the sources that a corpus path names, in the order in which they are read.

    Args:
        path: a file, a directory (every file below it but hidden ones, by name), a glob, or ``builtin:NAME``.

    Raises:
        InputError: the path names nothing that can be read; the message gives the remedy.
    """
    if path.startswith("builtin:"):
        return _builtin_sources(path)
    try:
        root = Path(path).expanduser()
        if root.is_dir():
            files = list(filter(_is_regular, _walk(root)))
        elif root.exists():
            files = [root]
        else:
            files = list(filter(_is_regular, _expand(root)))
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the user in ~NAME does not exist
        raise InputError(f"{path}: cannot be read as a corpus: {error}.") from None
    if not files:
        raise InputError(_nothing_found(path, root))
    return [_file_source(file) for file in sorted(files)]


def _file_source(file: Path) -> Source:
    size = file.stat().st_size
    if file.suffix == ".gz":
        return Source(str(file), partial(_read_gzip, file), stored_bytes=size)
    return Source(str(file), partial(_read_file, file), size, size)


def _read_file(file: Path) -> Iterator[bytes]:
    with open_regular(file) as stream:
        _refuse_hole(file, stream)
        yield from _read_unchanged(file, stream, stream)


def _read_gzip(file: Path) -> Iterator[bytes]:
    with open_regular(file) as stream, gzip.GzipFile(fileobj=stream) as content:
        left = max(FREE_EXPANSION_BYTES, MAX_EXPANSION * os.fstat(stream.fileno()).st_size)
        for chunk in _read_unchanged(file, stream, content):
            left -= len(chunk)
            if left < 0:
                raise InputError(
                    f"{file}: its content is more than {MAX_EXPANSION} times as large as the file. "
                    "If it is a text that you want to train on, decompress it and give the result."
                )
            yield chunk


def _read_unchanged(file: Path, stream: BinaryIO, content: "BinaryIO | gzip.GzipFile") -> Iterator[bytes]:
    """Yield what ``content`` reads from a file that is open as ``stream``, as long as the file does not change."""
    before = os.fstat(stream.fileno())
    while True:
        try:
            chunk = content.read(CHUNK_BYTES)
        finally:  # also if the gzip seems to be damaged
            now = os.fstat(stream.fileno())
            if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise InputError(f"{file}: changes while it is read. Wait until it is complete, or give a copy of it.")
        if not chunk:
            return
        yield chunk


def _refuse_hole(file: Path, stream: BinaryIO) -> None:
    """Raise an error if a file is one hole, whatever its size: a sparse file that was never written."""
    if not hasattr(os, "SEEK_DATA"):
        return
    try:
        os.lseek(stream.fileno(), 0, os.SEEK_DATA)
    except OSError as error:
        num_bytes = os.fstat(stream.fileno()).st_size
        if error.errno == errno.ENXIO and num_bytes:
            raise InputError(f"{file}: a sparse file without data: all its {num_bytes:,} bytes are NUL.") from None
    os.lseek(stream.fileno(), 0, os.SEEK_SET)


def _walk(root: Path) -> Iterator[Path]:
    """Yield every file below a directory, without hidden files and directories.

    Raises:
        OSError: a directory cannot be read.
    """

    def fail(error: OSError) -> None:
        raise error

    for directory, subdirectories, names in os.walk(root, onerror=fail):
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        yield from (Path(directory) / name for name in names if not name.startswith("."))


def _expand(pattern: Path) -> Iterator[Path]:
    """Yield the paths that match a glob.

    Raises:
        OSError: a directory that may hold such paths cannot be read.
    """
    for part in (pattern, *pattern.parents):
        if glob.has_magic(part.name):
            for directory in filter(Path.is_dir, _glob(part.parent)):
                os.scandir(directory).close()  # glob leaves out what it cannot read
    yield from _glob(pattern)


def _glob(pattern: Path) -> Iterator[Path]:
    return map(Path, glob.glob(str(pattern), recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern


def _is_regular(file: Path) -> bool:
    return stat.S_ISREG(file.stat().st_mode)  # unlike Path.is_file, it raises an error for a link to nothing


def _nothing_found(path: str, root: Path) -> str:
    if root.is_dir():
        return f"{path}: the directory holds no file to train on."
    known = next((name for name in CORPORA if name in root.name), None)
    if known:
        return f"{path}: there is no such corpus yet. Fetch it with: charlm fetch {known}"
    return (
        f"{path}: there is no such file, directory or glob below {Path.cwd()}. Give a text of your own, use "
        "builtin:python-docs, or fetch a public corpus: charlm fetch tinyshakespeare"
    )


def _builtin_sources(path: str) -> list[Source]:
    if path == "builtin:python-docs":
        return [Source(path, lambda: _cut(_python_docs().encode()))]
    if path == "builtin:python-source":
        return [Source(str(file), partial(_read_module, file)) for file in _standard_library()]
    raise InputError(f"{path}: unknown corpus. Known: builtin:python-docs and builtin:python-source.")


def _python_docs() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _standard_library() -> list[Path]:
    """Return the standard library's modules, without tests and installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    return sorted(file for file in root.rglob("*.py") if not skipped.intersection(file.relative_to(root).parts))


def _read_module(file: Path) -> Iterator[bytes]:
    with tokenize.open(file) as stream:  # a module may declare another encoding
        yield from _cut(stream.read().encode())


def _cut(content: bytes) -> Iterator[bytes]:
    stream = io.BytesIO(content)
    return iter(lambda: stream.read(CHUNK_BYTES), b"")
