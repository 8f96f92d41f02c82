"""Public corpora, downloaded from a server on this machine."""

import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from charlm.cli import run
from charlm.errors import CharlmError, InputError
from charlm.text import public
from charlm.text.public import CORPORA, PublicCorpus, fetch_corpus

TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(5_000))


class Server(ThreadingHTTPServer):
    """Answers every request with ``status`` and ``body``, of which it sends ``num_bytes`` alone."""

    daemon_threads = False  # so that closing the server waits for every answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}/text"
        self.body, self.status, self.num_bytes, self.num_requests = TEXT, 200, 10**9, 0


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        """Send the answer."""
        self.server.num_requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.send_header("Location", "ftp://127.0.0.1/text")
        self.end_headers()
        self.wfile.write(self.server.body[: self.server.num_bytes])

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that has two corpora, a plain one and a zipped one; no proxy stands before it."""
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        sha256 = hashlib.sha256(TEXT).hexdigest()
        monkeypatch.setitem(CORPORA, "text8", PublicCorpus(server.url, "plain", "char", len(TEXT), sha256))
        monkeypatch.setitem(CORPORA, "enwik8", PublicCorpus(server.url + ".zip", "zipped", "byte", len(TEXT), sha256))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def zip_of(**members: bytes) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def damage(archive: bytes) -> bytes:
    """Return an archive with a byte in its middle changed."""
    middle = len(archive) // 2
    return archive[:middle] + bytes([archive[middle] ^ 255]) + archive[middle + 1 :]


def files_in(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory by name."""
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "body", "file"),
    [("text8", TEXT, "plain"), ("enwik8", zip_of(zipped=TEXT, readme=b"more"), "zipped")],
)
def test_corpus_is_downloaded_once(server: Server, tmp_path: Path, name: str, body: bytes, file: str) -> None:
    """A corpus ends as one file in a directory that is made; the second time nothing is downloaded."""
    server.body = body
    for _ in range(2):
        assert fetch_corpus(name, tmp_path / "a" / "b") == tmp_path / "a" / "b" / file
        assert files_in(tmp_path) == {file: TEXT}
    assert server.num_requests == 1


def test_cut_download_begins_again(server: Server, tmp_path: Path) -> None:
    """A download that is cut off leaves nothing under any name, and the next call downloads all of it."""
    server.num_bytes = len(TEXT) // 2
    with pytest.raises(CharlmError, match=r"text8: http\S+ cannot be downloaded: the connection was cut\.") as caught:
        fetch_corpus("text8", tmp_path)
    assert caught.value.exit_status == 1
    assert files_in(tmp_path) == {}
    server.num_bytes = len(TEXT)
    assert fetch_corpus("text8", tmp_path).read_bytes() == TEXT


@pytest.mark.parametrize("body", [TEXT[:-1] + b"?", TEXT + b"?", b"<html>"], ids=["same size", "longer", "a page"])
def test_another_text_is_not_kept(server: Server, tmp_path: Path, body: bytes) -> None:
    """What is not the corpus is not kept, and the message says what was expected."""
    server.body = body
    expected = f"expected {len(TEXT):,} bytes with the SHA-256 {hashlib.sha256(TEXT).hexdigest()}, got {len(body):,}"
    with pytest.raises(CharlmError, match=expected):
        fetch_corpus("text8", tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(zip_of(another=TEXT), "no item named 'zipped'", id="no such member"),
        pytest.param(zip_of(zipped=TEXT * 2), f"zipped has {2 * len(TEXT):,}", id="too large"),
        pytest.param(zip_of(zipped=TEXT[:-1] + b"?"), "another digest", id="another text"),
        pytest.param(damage(zip_of(zipped=TEXT)), "cannot be unpacked", id="damaged"),
        pytest.param(TEXT, "not a zip file", id="no archive"),
    ],
)
def test_bad_archive_is_not_kept(server: Server, tmp_path: Path, body: bytes, message: str) -> None:
    """Of an archive without the right text nothing is kept, and none is unpacked that could fill the disk."""
    server.body = body
    with pytest.raises(CharlmError, match=message):
        fetch_corpus("enwik8", tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize(
    ("status", "message"), [(404, "the server answers 404 Not Found"), (302, "No connection adapters were found for")]
)
def test_refusal_of_the_server(server: Server, tmp_path: Path, status: int, message: str) -> None:
    """An answer without the text is told in a few words, and a way out is named."""
    server.status = status
    with pytest.raises(CharlmError, match=rf"{message}.* save it as {tmp_path / 'plain'}"):
        fetch_corpus("text8", tmp_path)


def test_no_connection(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network, or with a server that says nothing, the reason is told in a few words."""
    monkeypatch.setattr(public, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        end = threading.Timer(5, silent.close)  # which would be another error
        end.start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setitem(CORPORA, "text8", PublicCorpus(url, "plain", "char", len(TEXT), ""))
        with pytest.raises(CharlmError, match=r"the server does not answer within 0\.05 s"):
            fetch_corpus("text8", tmp_path)
        end.cancel()
    with pytest.raises(CharlmError, match="there is no connection to the server"):
        fetch_corpus("text8", tmp_path)


def test_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up is told as such, and what was downloaded does not stay on it."""

    def fail(_source: object, target: io.BytesIO) -> None:
        target.write(b"some")
        raise OSError(28, "No space left on device")

    server.body = zip_of(zipped=TEXT)
    monkeypatch.setattr("shutil.copyfileobj", fail)
    with pytest.raises(CharlmError, match=r"zipped: cannot be written: No space left on device\. Make room"):
        fetch_corpus("enwik8", tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("content", [b"mine", TEXT[:-1] + b"?"], ids=["other size", "same size"])
def test_file_of_the_user_is_left_alone(server: Server, tmp_path: Path, content: bytes) -> None:
    """Another file under the corpus's name is neither overwritten nor taken for the corpus."""
    (tmp_path / "plain").write_bytes(content)
    with pytest.raises(InputError, match=r"plain: this file is not text8\. Remove it, or give another .* --out"):
        fetch_corpus("text8", tmp_path)
    assert files_in(tmp_path) == {"plain": content}
    assert server.num_requests == 0


@pytest.mark.parametrize(("name", "level"), [("text8", ""), ("enwik8", " --set data.level=byte")])
def test_command(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str,
    level: str,
) -> None:  # fmt: skip
    """The command downloads into data/, and says what it wrote and how to train on it."""
    server.body = TEXT if name == "text8" else zip_of(zipped=TEXT)
    monkeypatch.chdir(tmp_path)
    assert run(["fetch", name]) == 0
    out, err = capsys.readouterr()
    path = Path("data") / CORPORA[name].file
    assert out == f"{path}: verified\n  train with: charlm train --set data.path={path}{level}\n"
    assert err == f"{name}: {len(TEXT):,} bytes, from {CORPORA[name].url}\n"
    assert path.read_bytes() == TEXT


def test_progress_is_a_bar_on_a_terminal(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal gets a bar, which ends at the whole size."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(["fetch", "text8", "--out", str(tmp_path)]) == 0
    assert "text8:   0%|" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["bible"], 2, "'bible' is not one of 'tinyshakespeare', 'enwik8', 'text8'"),
        ([], 2, "Missing argument 'NAME'"),
        (["text8", "--out", "file"], 2, "'file' is a file"),
        (["text8", "--out", "file/data"], 1, "cannot be written: Not a directory"),
        (["text8"], 1, "Error: text8: http"),
    ],
)
def test_mistakes_and_failures(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], status: int, message: str,
) -> None:  # fmt: skip
    """Every mistake is one message and an exit status."""
    server.status = 500
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run(["fetch", *arguments]) == status
    assert message in capsys.readouterr().err
