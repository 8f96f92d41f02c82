"""scripts/fetch_corpus.py against a server of its own on this machine."""

import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from repository import ROOT, load_script

SCRIPT = ROOT / "scripts" / "fetch_corpus.py"
TEXT = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(20_000))
HALF = len(TEXT) // 2


class CorpusServer(ThreadingHTTPServer):
    """Serves `body` at every path; `behaviour` says how."""

    body = TEXT
    behaviour = "range"
    daemon_threads = False  # so that closing the server waits for every answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}/tiny"
        self.ranges: list[str | None] = []


class Answer(BaseHTTPRequestHandler):
    """One request to a CorpusServer."""

    server: CorpusServer

    def do_GET(self) -> None:
        """Answer as the server's behaviour says."""
        behaviour, body = self.server.behaviour, self.server.body
        self.server.ranges.append(self.headers["Range"])
        if behaviour in {"missing", "elsewhere"}:
            location = {"Location": "ftp://127.0.0.1/tiny"} if behaviour == "elsewhere" else {}
            self.answer(302 if location else 404, b"no such text", location)
        elif self.headers["Range"] is None or behaviour == "no range":
            self.answer(200, body, {"Content-Length": str(len(body))}, body[:HALF] if behaviour == "cut" else body)
        else:
            self.answer_range(int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")))

    def answer_range(self, start: int) -> None:
        """Send what follows `start`, or the refusal of a start outside the body."""
        size, body = len(self.server.body), self.server.body[start:]
        if start >= size:
            self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
        elif self.server.behaviour == "other range":
            self.answer(206, self.server.body, {"Content-Range": f"bytes 0-{size - 1}/{size}"})
        else:
            self.answer(206, body, {"Content-Range": f"bytes {start}-{size - 1}/{size}"})

    def answer(self, status: int, body: bytes, headers: dict[str, str], sent: bytes | None = None) -> None:
        """Send a response; `sent` is what is sent of a body that is cut."""
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body if sent is None else sent)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Outcome(NamedTuple):
    """What a run of the script came to."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CorpusServer]:
    """A running server that no proxy stands before."""
    monkeypatch.setenv("no_proxy", "*")
    with CorpusServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def script(server: CorpusServer, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with two made-up corpora that the server has."""
    module = load_script("fetch_corpus")
    sha256 = hashlib.sha256(TEXT).hexdigest()
    tiny = module.Corpus(server.url, "tiny.txt", len(TEXT), sha256)
    zipped = module.Corpus(server.url + ".zip", "zipped", len(TEXT), sha256)
    monkeypatch.setattr(module, "CORPORA", {"tiny": tiny, "zipped": zipped})
    return module


@pytest.fixture
def run(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the script as from the command line, into tmp_path."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            script.main([*arguments, "--out", str(tmp_path)])
        return Outcome(stopped.value.code, *capsys.readouterr())

    return run


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip archive in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def damaged(archive: bytes) -> bytes:
    """The archive with a byte in the middle changed."""
    middle = len(archive) // 2
    return archive[:middle] + bytes([archive[middle] ^ 255]) + archive[middle + 1 :]


def files_in(directory: Path) -> dict[str, bytes]:
    """Every file of a directory by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_whole_download_is_put_in_place(run, tmp_path):
    """A download ends as the one file in the directory, and stdout names it."""
    outcome = run("tiny")
    assert (outcome.status, outcome.stdout) == (0, f"{tmp_path / 'tiny.txt'}\n")
    assert files_in(tmp_path) == {"tiny.txt": TEXT}


def test_directory_is_made(script, server, tmp_path):
    """An output directory that is not there yet is made."""
    path = script.fetch("tiny", script.CORPORA["tiny"], tmp_path / "a" / "b", server.url)
    assert path.read_bytes() == TEXT


def test_cut_download_resumes(run, server, tmp_path):
    """A server that closes early leaves the part, and the next run asks for the rest alone."""
    server.behaviour = "cut"
    outcome = run("tiny")
    assert outcome.status == 1
    assert f"cut after {HALF:,} of {len(TEXT):,} bytes" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert files_in(tmp_path) == {"tiny.txt.part": TEXT[:HALF]}
    server.behaviour = "range"
    assert run("tiny").status == 0
    assert files_in(tmp_path) == {"tiny.txt": TEXT}
    assert server.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize(
    ("behaviour", "part", "num_requests"),
    [
        pytest.param("no range", TEXT[:HALF], 1, id="range ignored"),
        pytest.param("other range", TEXT[:HALF], 2, id="another range sent"),
        pytest.param("range", TEXT, 1, id="whole part, 416"),
        pytest.param("range", TEXT + b"more", 2, id="part too long, 416"),
        pytest.param("range", b"", 1, id="empty part"),
    ],
)
def test_part_is_completed_whatever_the_server_answers(run, server, tmp_path, behaviour, part, num_requests):
    """A part ends as the right file, from the start where the server cannot go on, in as few requests as can be."""
    server.behaviour = behaviour
    (tmp_path / "tiny.txt.part").write_bytes(part)
    assert run("tiny").status == 0
    assert files_in(tmp_path) == {"tiny.txt": TEXT}
    assert len(server.ranges) == num_requests


@pytest.mark.parametrize("body", [TEXT[:-1] + b"?", TEXT + b"?", b"<html>"], ids=["same size", "longer", "a page"])
def test_wrong_checksum_keeps_nothing_bad_and_all_that_was_there(run, server, tmp_path, body):
    """What is not the corpus is removed, expected and actual are said, and other files stay."""
    (tmp_path / "other.txt").write_bytes(b"mine")
    server.body = body
    outcome = run("tiny")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert f"expected {len(TEXT):,} bytes, sha256 {hashlib.sha256(TEXT).hexdigest()}" in outcome.stderr
    assert f"actual   {len(body):,} bytes, sha256 {hashlib.sha256(body).hexdigest()}" in outcome.stderr
    assert files_in(tmp_path) == {"other.txt": b"mine"}


def test_spoilt_part_is_removed_so_that_the_next_run_is_right(run, tmp_path):
    """A part of another text fails the checksum once, and only once."""
    (tmp_path / "tiny.txt.part").write_bytes(b"?" * HALF)
    assert run("tiny").status == 1
    assert run("tiny").status == 0
    assert files_in(tmp_path) == {"tiny.txt": TEXT}


def test_present_corpus_is_not_fetched_again(run, server, tmp_path):
    """A file that is there and right costs no request."""
    (tmp_path / "tiny.txt").write_bytes(TEXT)
    outcome = run("tiny")
    assert (outcome.status, outcome.stdout, server.ranges) == (0, f"{tmp_path / 'tiny.txt'}\n", [])
    assert "already there" in outcome.stderr


def test_present_file_that_is_not_the_corpus_is_left_alone(run, server, tmp_path):
    """A file of the user's under the corpus's name is neither overwritten nor passed off as the corpus."""
    (tmp_path / "tiny.txt").write_bytes(b"mine")
    outcome = run("tiny")
    assert (outcome.status, server.ranges) == (1, [])
    assert "is not the corpus. Remove it" in outcome.stderr
    assert files_in(tmp_path) == {"tiny.txt": b"mine"}


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [("missing", "HTTP Error 404: Not Found"), ("elsewhere", "unknown url type: ftp")],
)
@pytest.mark.parametrize("part", [None, TEXT[:HALF]], ids=["new", "resumed"])
def test_refusal_is_one_line_and_keeps_the_part(run, server, tmp_path, behaviour, message, part):
    """A status of failure or a redirect off the web is told without a traceback, and the part stays."""
    before = {} if part is None else {"tiny.txt.part": part}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    server.behaviour = behaviour
    outcome = run("tiny")
    assert outcome.status == 1
    assert outcome.stderr.splitlines()[-1] == f"Error: tiny: {message}"
    assert files_in(tmp_path) == before


def test_silent_server_times_out(run, script, monkeypatch):
    """A server that accepts and says nothing is given up."""
    monkeypatch.setattr(script, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = run("tiny", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert outcome.status == 1
    assert outcome.stderr.splitlines()[-1] == "Error: tiny: timed out"


def test_archive_gives_its_one_member(run, server, tmp_path):
    """Only the expected member leaves a zip archive, and the archive goes."""
    server.body = zip_of({"../outside": b"bad", "zipped": TEXT, "readme": b"more"})
    assert run("zipped").status == 0
    assert files_in(tmp_path) == {"zipped": TEXT}
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        pytest.param(zip_of({"another": TEXT}), "no item named 'zipped'", id="no such member"),
        pytest.param(zip_of({"zipped": TEXT * 2}), f"actual: {2 * len(TEXT):,}", id="too large"),
        pytest.param(zip_of({"zipped": TEXT[:-1] + b"?"}), hashlib.sha256(TEXT).hexdigest(), id="another text"),
        pytest.param(damaged(zip_of({"zipped": TEXT})), "expected a sound zip archive", id="damaged"),
        pytest.param(TEXT, "File is not a zip file", id="no archive"),
    ],
)
def test_bad_archive_leaves_nothing(run, server, tmp_path, archive, message):
    """An archive without the right text is removed with all that came out of it."""
    server.body = archive
    outcome = run("zipped")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert message in outcome.stderr
    assert "expected" in outcome.stderr
    assert files_in(tmp_path) == {}


def test_archive_stays_when_the_disk_fails(run, script, server, tmp_path, monkeypatch):
    """An unpacking that fails for want of room leaves the download for the next run."""
    server.body = zip_of({"zipped": TEXT})

    def fail(source, sink):
        sink.write(b"some")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(script.shutil, "copyfileobj", fail)
        assert run("zipped").status == 1
    assert files_in(tmp_path) == {"zipped.part": server.body}
    assert run("zipped").status == 0
    assert files_in(tmp_path) == {"zipped": TEXT}


def test_mirror_is_asked_instead(run, script, server, tmp_path, monkeypatch):
    """--url replaces the address and leaves the checksum as it is."""
    elsewhere = script.CORPORA["tiny"]._replace(url="http://127.0.0.1:1/none")
    monkeypatch.setattr(script, "CORPORA", {"tiny": elsewhere})
    server.body = b"not this"
    assert "is not the corpus" in run("tiny", "--url", server.url).stderr
    server.body = TEXT
    assert run("tiny", "--url", server.url).status == 0
    assert files_in(tmp_path) == {"tiny.txt": TEXT}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bible"], "unknown corpus 'bible'; choose from tiny, zipped."),
        (["tiny", "--url", "file:///tmp/tiny.txt"], "expected an http or https address, got 'file:///tmp/tiny.txt'."),
    ],
    ids=["name", "scheme"],
)
def test_user_mistake_exits_with_2(run, server, arguments, message):
    """What the user mistyped is named, with what would do, before any request."""
    outcome = run(*arguments)
    assert (outcome.status, outcome.stdout, server.ranges) == (2, "", [])
    assert message in outcome.stderr


@pytest.mark.parametrize("arguments", [[], ["--list"], ["tiny", "--list"]], ids=["no name", "list", "list with a name"])
def test_corpora_are_listed(run, server, arguments):
    """Without a name, or with --list, stdout has a line a corpus with its size, and nothing is fetched."""
    outcome = run(*arguments)
    assert (outcome.status, server.ranges) == (0, [])
    assert [line.split()[:3] for line in outcome.stdout.splitlines()] == [
        ["tiny", f"{len(TEXT):,}", "bytes"],
        ["zipped", f"{len(TEXT):,}", "bytes"],
    ]


def test_progress_is_plain_off_a_terminal(run):
    """A log gets at most eleven lines of progress, the last of them whole, and no carriage returns."""
    stderr = run("tiny").stderr
    assert "\r" not in stderr
    lines = [line for line in stderr.splitlines() if " % of " in line]
    assert 5 <= len(lines) <= 10
    assert lines[-1] == f"tiny: 100 % of {len(TEXT):,} bytes"


def test_progress_is_a_bar_on_a_terminal(script, server, tmp_path, monkeypatch):
    """A terminal gets tqdm's bar and no lines of per cent."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(script.sys, "stderr", terminal)
    script.download("tiny", server.url, tmp_path / "part")
    assert "\rtiny: 100%|" in terminal.getvalue()
    assert " % of " not in terminal.getvalue()


def test_interrupt_exits_with_130(run, script, monkeypatch):
    """Ctrl-C exits as the shell expects, without a traceback."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "download", interrupt)
    assert run("tiny").status == 130
