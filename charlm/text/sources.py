"""Sources of a corpus: a file, a directory, a glob, gzip, or a text that comes with Python."""

import glob
import gzip
import io
import sysconfig
import tokenize
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from charlm.errors import InputError
from charlm.system.reading import open_regular
from charlm.text.public import CORPORA

CHUNK_BYTES = 1 << 22
"""Bytes of a corpus that are read at a time: enough to be fast, with little memory."""


@dataclass(frozen=True)
class Source:
    """One input file, or a built-in text.

    Attributes:
        name: how errors refer to it.
        open: opens it for reading bytes; a ``.gz`` file is decompressed.
    """

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in order, ``CHUNK_BYTES`` at a time.

        Raises:
            InputError: the file cannot be read, or its gzip is broken.
        """
        try:
            with self.open() as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
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
            files = [file for file in root.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(root))]
        elif root.exists():
            files = [root]
        else:
            names = glob.glob(str(root), recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
            files = [Path(name) for name in names if Path(name).is_file()]
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the user in ~NAME does not exist
        raise InputError(f"{path}: cannot be read as a corpus: {error}.") from None
    if not files:
        raise InputError(_nothing_found(path, root))
    return [Source(str(file), partial(_open_file, file)) for file in sorted(files)]


@contextmanager
def _open_file(file: Path) -> Iterator[BinaryIO]:
    with open_regular(file) as stream:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if file.suffix == ".gz" else stream


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


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
        return [Source(path, lambda: io.BytesIO(_python_docs().encode()))]
    if path == "builtin:python-source":
        return [Source(str(file), _source_opener(file)) for file in _standard_library()]
    raise InputError(f"{path}: unknown corpus. Known: builtin:python-docs and builtin:python-source.")


def _python_docs() -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def _standard_library() -> list[Path]:
    """Return the standard library's modules, without tests and installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    return sorted(file for file in root.rglob("*.py") if not skipped.intersection(file.relative_to(root).parts))


def _source_opener(file: Path) -> Callable[[], BinaryIO]:
    def open_as_utf8() -> BinaryIO:
        with tokenize.open(file) as stream:  # a module may declare another encoding
            return io.BytesIO(stream.read().encode())

    return open_as_utf8
