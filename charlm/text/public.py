"""Public corpora: where they are published, and how one is downloaded and verified."""

import hashlib
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from charlm.errors import CharlmError, InputError
from charlm.system.files import create_atomically

TIMEOUT_S = 30.0
"""For the connection, and for every read."""

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class PublicCorpus:
    """A text that others publish.

    Attributes:
        url: the text, or a zip archive that holds it under the name ``file``.
        file: its name on disk.
        level: at which results on it are reported.
        size_bytes: of the text.
        sha256: of the text, in hexadecimal.
    """

    url: str
    file: str
    level: Literal["char", "byte"]
    size_bytes: int
    sha256: str


# The digests are of the texts, not of the archives: the same in several projects that publish them.
CORPORA = {
    "tinyshakespeare": PublicCorpus(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "tinyshakespeare.txt",
        "char",
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "enwik8": PublicCorpus(
        "http://mattmahoney.net/dc/enwik8.zip",
        "enwik8",
        "byte",
        100_000_000,
        "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
    ),
    "text8": PublicCorpus(
        "http://mattmahoney.net/dc/text8.zip",
        "text8",
        "char",
        100_000_000,
        "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
    ),
}


def fetch_corpus(name: str, directory: Path, progress: object = False) -> Path:
    """Return a public corpus on disk, downloaded where it is not there yet.

    Args:
        name: a key of ``CORPORA``.
        directory: where its file goes; it is made.
        progress: tqdm's bar or one like it, whose ``total`` is above 0; False for none.

    Raises:
        InputError: another file has its name.
        CharlmError: it cannot be downloaded or written, or what came is not the corpus; nothing of it is kept.
    """
    from requests import RequestException  # pooch downloads with requests; both take long to import

    corpus = CORPORA[name]
    path = directory / corpus.file
    if path.exists():
        if not _is_sound(path, corpus):
            raise InputError(f"{path}: this file is not {name}. Remove it, or give another directory with --out.")
        return path
    try:
        with create_atomically(path) as unfinished:
            _download(corpus, unfinished, progress)
            if not _is_sound(unfinished, corpus):
                raise _not_the_corpus(corpus, f"{unfinished.stat().st_size:,} bytes with another digest")
    except RequestException as error:
        raise CharlmError(
            f"{name}: {corpus.url} cannot be downloaded: {_describe_failure(error)}. Nothing was kept. "
            f"Try again later, or get the file in another way and save it as {path}."
        ) from None
    except OSError as error:
        raise CharlmError(
            f"{path}: cannot be written: {error.strerror or error}. Make room, or give another directory with --out."
        ) from None
    return path


def _is_sound(path: Path, corpus: PublicCorpus) -> bool:
    if not path.is_file() or path.stat().st_size != corpus.size_bytes:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == corpus.sha256


def _download(corpus: PublicCorpus, path: Path, progress: object) -> None:
    """Download the corpus to a path; an archive goes beside it."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # otherwise it prints each digest
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=CHUNK_BYTES, timeout=TIMEOUT_S)
    is_archive = corpus.url.endswith(".zip")
    name = f"{path.name}.zip" if is_archive else path.name
    pooch.retrieve(corpus.url, known_hash=None, fname=name, path=path.parent, downloader=downloader)
    if is_archive:
        _unpack(path.with_name(name), corpus, path)


def _unpack(archive: Path, corpus: PublicCorpus, path: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            size_bytes = file.getinfo(corpus.file).file_size
            if size_bytes != corpus.size_bytes:  # nothing is unpacked that could fill the disk
                raise _not_the_corpus(corpus, f"an archive whose {corpus.file} has {size_bytes:,}")
            with file.open(corpus.file) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        raise _not_the_corpus(corpus, f"an archive that cannot be unpacked ({error})") from None


def _not_the_corpus(corpus: PublicCorpus, found: str) -> CharlmError:
    return CharlmError(
        f"{corpus.url}: this is not {corpus.file}: expected {corpus.size_bytes:,} bytes with the SHA-256 "
        f"{corpus.sha256}, got {found}. Nothing was kept. Try again later."
    )


def _describe_failure(error: OSError) -> str:
    """Say in a few words why a download failed; requests' own messages name its internals."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, exceptions.Timeout):
        return f"the server does not answer within {TIMEOUT_S:g} s"
    if isinstance(error, exceptions.ConnectionError):
        return "there is no connection to the server"
    return str(error)
