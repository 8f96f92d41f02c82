#!/usr/bin/env python3
"""Fetch a public corpus into data/: resumed where it was cut, put in place only once its checksum is right."""

import hashlib
import shutil
import sys
import urllib.request as web
import zipfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError

import click
from tqdm import tqdm

DATA = Path(__file__).resolve().parents[1] / "data"
TIMEOUT_S = 30.0  # for the connection and for every read


class Corpus(NamedTuple):
    """A public text: its address and its file in data/, which is also its name where the address is a zip archive."""

    url: str
    file: str
    size: int
    sha256: str


# The digests are of the texts, not of the archives: the same in several projects that publish them.
CORPORA = {
    "tinyshakespeare": Corpus(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "tinyshakespeare.txt",
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "enwik8": Corpus(
        "http://mattmahoney.net/dc/enwik8.zip",
        "enwik8",
        100_000_000,
        "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8",
    ),
    "text8": Corpus(
        "http://mattmahoney.net/dc/text8.zip",
        "text8",
        100_000_000,
        "6e890197040d37d85beb962ae1f041ff1d9a9ca8d20c7d99c85027eebf51dca7",
    ),
}

OPENER = web.OpenerDirector()  # urllib's own would also follow a redirect to ftp
for kind in ("Proxy", "HTTP", "HTTPS", "HTTPDefaultError", "HTTPRedirect", "Unknown"):
    OPENER.add_handler(getattr(web, f"{kind}Handler")())
OPENER.add_handler(web.HTTPErrorProcessor())


def request_from(url: str, offset: int) -> HTTPResponse:
    """Ask for url from byte `offset` on; HTTPError carries any status but success."""
    headers = {"User-Agent": "charlm"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        return OPENER.open(web.Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        raise


def request_rest(url: str, offset: int) -> tuple[HTTPResponse | None, int]:
    """Ask for what follows `offset`: the response (None: nothing does) and its first byte, 0 if it had to restart."""
    try:
        response = request_from(url, offset)
        if response.status != 206:
            return response, 0
        if response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            return response, offset
        response.close()
    except HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{offset}":
            return None, offset
    return request_from(url, 0), 0


def read_chunks(label: str, response: HTTPResponse, done: int, total: int | None) -> Iterator[bytes]:
    """Yield the body in chunks; show the bytes on stderr, as a bar on a terminal, else as a line for every tenth."""
    with tqdm(desc=label, initial=done, total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:
        while chunk := response.read(1 << 16):
            yield chunk
            done += len(chunk)
            bar.update(len(chunk))
            if bar.disable and total and 10 * done // total > 10 * (done - len(chunk)) // total:
                click.echo(f"{label}: {100 * done // total} % of {total:,} bytes", err=True)


def download(label: str, url: str, part: Path) -> None:
    """Complete `part`, a download of url that may have been cut; ConnectionError if it is cut again."""
    click.echo(f"{label}: fetching {url}", err=True)
    response, offset = request_rest(url, part.stat().st_size if part.exists() else 0)
    if response is None:
        return
    click.echo(f"{label}: going on from byte {offset:,}" if offset else f"{label}: from the start", err=True)
    total = None if response.length is None else offset + response.length
    with response, part.open("ab" if offset else "wb") as file:
        file.writelines(read_chunks(label, response, offset, total))
    if total is not None and (size := part.stat().st_size) < total:
        raise ConnectionError(f"cut after {size:,} of {total:,} bytes; the same command goes on from there.")


def check_text(path: Path, corpus: Corpus, remedy: str) -> None:
    """Raise ValueError, with what was expected and what is there, unless path holds the corpus."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if (size := path.stat().st_size, sha256) != (corpus.size, corpus.sha256):
        expected, actual = f"{corpus.size:,} bytes, sha256 {corpus.sha256}", f"{size:,} bytes, sha256 {sha256}"
        raise ValueError(f"{path} is not the corpus. {remedy}\n  expected {expected}\n  actual   {actual}")


def unpack(archive: Path, corpus: Corpus, target: Path) -> Path:
    """Write the corpus's member of the archive to target, returned; ValueError if it is not there or damaged."""
    try:
        with zipfile.ZipFile(archive) as file:
            if (size := file.getinfo(corpus.file).file_size) != corpus.size:  # nor is a zip bomb unpacked
                raise ValueError(f"expected {corpus.size:,} bytes of {corpus.file} in the archive, actual: {size:,}")
            with file.open(corpus.file) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        raise ValueError(f"expected a sound zip archive with {corpus.file} in it, actual: {error}") from error
    return target


def fetch(name: str, corpus: Corpus, directory: Path, url: str) -> Path:
    """Return the corpus's file in directory, fetched if need be; ValueError if what is there or what came is not it."""
    directory.mkdir(parents=True, exist_ok=True)
    target, part, unpacked = (directory / (corpus.file + ending) for ending in ("", ".part", ".unpacked"))
    if target.exists():
        check_text(target, corpus, "Remove it, or choose another --out.")
        click.echo(f"{name}: already there", err=True)
        return target
    download(name, url, part)
    try:
        text = unpack(part, corpus, unpacked) if corpus.url.endswith(".zip") else part
        check_text(text, corpus, "It was removed.")
        text.replace(target)
    except ValueError:
        part.unlink()
        raise
    finally:
        unpacked.unlink(missing_ok=True)
    part.unlink(missing_ok=True)
    return target


@click.command()
@click.argument("name", required=False)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DATA, help="Where to, if not data/.")
@click.option("--url", help="A mirror to fetch from; the checksum still applies.")
@click.option("--list", "is_listing", is_flag=True, help="List the corpora, as without NAME.")
def main(name: str | None, out: Path, url: str | None, is_listing: bool) -> None:
    """Fetch the public corpus NAME and print where it is."""
    if name is None or is_listing:
        for key, corpus in CORPORA.items():
            click.echo(f"{key:16} {corpus.size:>12,} bytes  {corpus.url}")
        return
    if name not in CORPORA:
        raise click.BadParameter(f"unknown corpus {name!r}; choose from {', '.join(CORPORA)}.", param_hint="NAME")
    if url is not None and not url.lower().startswith(("http://", "https://")):
        raise click.BadParameter(f"expected an http or https address, got {url!r}.", param_hint="--url")
    try:
        click.echo(fetch(name, CORPORA[name], out, url or CORPORA[name].url))
    except (OSError, HTTPException, ValueError) as error:
        raise click.ClickException(f"{name}: {error.reason if type(error) is URLError else error}") from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
