"""Sources of a corpus: files, directories, globs, gzip files and built-in texts."""

import errno
import gzip
import io
import os
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from charlm.errors import InputError
from charlm.text import sources
from charlm.text.public import CORPORA
from charlm.text.sources import find_sources


def read(path: Path | str) -> list[bytes]:
    """Return the bytes of each source of a path."""
    return [b"".join(source.chunks()) for source in find_sources(str(path))]


def names(path: Path | str) -> list[str]:
    """Return the file names of a path's sources, in order."""
    return [Path(source.name).name for source in find_sources(str(path))]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with files, hidden files and subdirectories."""
    for name in ("b.txt", "a.txt", ".hidden", "sub/c.txt", "sub/.git/d.txt", ".venv/e.txt", "10.txt", "9.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name, encoding="utf-8")
    return tmp_path


def test_a_file_is_one_source(tmp_path: Path) -> None:
    """A file is one source, which returns its bytes unchanged."""
    (tmp_path / "a").write_bytes(bytes(range(256)))
    assert read(tmp_path / "a") == [bytes(range(256))]


def test_sizes(tmp_path: Path) -> None:
    """The size of a file is known; of a compressed one only what it takes on the disk."""
    (tmp_path / "a.txt").write_bytes(b"text" * 100)
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"text" * 100))
    plain, compressed = find_sources(str(tmp_path))
    assert (plain.num_bytes, plain.stored_bytes) == (400, 400)
    assert (compressed.num_bytes, compressed.stored_bytes) == (None, (tmp_path / "b.gz").stat().st_size)


def test_chunks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source returns its bytes in chunks of a fixed size, the last one shorter, and can be read repeatedly."""
    monkeypatch.setattr(sources, "CHUNK_BYTES", 4)
    (tmp_path / "a").write_bytes(b"0123456789")
    (source,) = find_sources(str(tmp_path / "a"))
    assert list(source.chunks()) == list(source.chunks()) == [b"0123", b"4567", b"89"]


def test_a_directory_is_read_in_order_of_paths(tree: Path) -> None:
    """All files below a directory are read in order of path, without hidden files and directories."""
    assert names(tree) == ["10.txt", "9.txt", "a.txt", "b.txt", "c.txt"]
    assert read(tree)[-1] == b"sub/c.txt"


def test_a_hidden_directory_can_be_named(tree: Path) -> None:
    """A hidden directory that is named explicitly is read."""
    assert names(tree / ".venv") == ["e.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("*/*.txt", ["c.txt"]),
        ("**/*.txt", ["10.txt", "9.txt", "a.txt", "b.txt", "c.txt"]),
        ("s*", None),
    ],
)
def test_a_glob_gives_all_matching_files(pattern: str, expected: list[str] | None, tree: Path) -> None:
    """A glob gives the matching files in order of path; one that matches only directories is an error."""
    if expected is None:
        with pytest.raises(InputError, match="no such file, directory or glob"):
            find_sources(str(tree / pattern))
    else:
        assert names(tree / pattern) == expected


def test_a_name_with_glob_characters_is_a_file_first(tmp_path: Path) -> None:
    """If a file has the exact name of a glob, the file is read."""
    (tmp_path / "[ab].txt").write_bytes(b"brackets")
    (tmp_path / "a.txt").write_bytes(b"a")
    assert read(tmp_path / "[ab].txt") == [b"brackets"]


def test_gzip_is_decompressed(tmp_path: Path) -> None:
    """A .gz file gives its decompressed content, also with several members."""
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one ") + gzip.compress(b"two"))
    assert read(tmp_path / "a.txt.gz") == [b"one two"]


GZIP = gzip.compress(bytes(range(256)) * 40)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"plain text", "Not a gzipped file"),
        (GZIP[:-12], "end-of-stream"),
        (GZIP[:-8] + bytes(4) + GZIP[-4:], "CRC check failed"),
        (GZIP[:30] + 20 * b"\xff" + GZIP[50:], "while decompressing"),
    ],
    ids=["not gzip", "truncated", "wrong checksum", "corrupt"],
)
def test_damaged_gzip_is_reported(data: bytes, reason: str, tmp_path: Path) -> None:
    """A damaged .gz file raises an error with the file name and the reason."""
    (tmp_path / "a.gz").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.gz: cannot be read: .*{reason}"):
        read(tmp_path / "a.gz")


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_a_pipe_is_refused(name: str, tmp_path: Path) -> None:
    """A pipe is refused without waiting for its writer."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: a pipe, not a regular file"):
        read(tmp_path / name)


def test_a_gzip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .gz file is refused as soon as its content is much larger than any text compresses."""
    monkeypatch.setattr(sources, "FREE_EXPANSION_BYTES", 1 << 20)
    monkeypatch.setattr(sources, "CHUNK_BYTES", 1 << 16)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a" * 10_000_000))
    (source,) = find_sources(str(tmp_path / "a.gz"))
    given = 0
    with pytest.raises(InputError, match=r"a\.gz: its content is more than 200 times as large as the file\. If it is "):
        for chunk in source.chunks():
            given += len(chunk)
    assert given < 200 * (tmp_path / "a.gz").stat().st_size


def test_a_hole_is_refused(tmp_path: Path) -> None:
    """A sparse file without data is refused before it is read, whatever its size; one with some data is read."""
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(20 << 30)
    with pytest.raises(InputError, match=r"a: a sparse file without data: all its 21,474,836,480 bytes are NUL\.$"):
        read(tmp_path / "a")
    with (tmp_path / "b").open("wb") as stream:
        stream.seek(1 << 16)
        stream.write(b"text")
    assert read(tmp_path / "b") == [bytes(1 << 16) + b"text"]


@pytest.mark.parametrize("name", ["a.txt", "a.gz"])
@pytest.mark.parametrize("num_chunks", [1, 3], ids=["early", "at its end"])
@pytest.mark.parametrize("change", ["append", "truncate", "rewrite", "empty"])
def test_a_changing_file_is_refused(
    name: str, num_chunks: int, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that grows, shrinks or is written to while it is read is refused, before any of the new bytes is given."""
    monkeypatch.setattr(sources, "CHUNK_BYTES", 4)
    monkeypatch.setattr(io, "DEFAULT_BUFFER_SIZE", 16)
    file = tmp_path / name
    file.write_bytes(gzip.compress(b"0123456789") if name == "a.gz" else b"0123456789")
    os.utime(file, ns=(0, 0))
    (source,) = find_sources(str(file))
    chunks = source.chunks()
    assert [next(chunks) for _ in range(num_chunks)] == [b"0123", b"4567", b"89"][:num_chunks]
    with file.open("r+b") as stream:
        if change in ("append", "rewrite"):
            stream.seek(0, os.SEEK_END if change == "append" else os.SEEK_SET)
            stream.write(b"more")
        else:
            stream.truncate(0 if change == "empty" else 9)
    if change != "rewrite":
        os.utime(file, ns=(0, 0))  # so that only its size tells
    with pytest.raises(InputError, match=r"changes while it is read\. Wait until it is complete, or give a copy of it"):
        next(chunks)


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_a_replaced_file_is_read_as_it_was(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another one replaces, or that is deleted, while it is read gives the old content."""
    monkeypatch.setattr(sources, "CHUNK_BYTES", 4)
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").write_bytes(b"ABCDEFGHIJ")
    (source,) = find_sources(str(tmp_path / "a"))
    chunks = source.chunks()
    first = next(chunks)
    if change == "replace":
        (tmp_path / "b").replace(tmp_path / "a")
    else:
        (tmp_path / "a").unlink()
    assert first + b"".join(chunks) == b"0123456789"


@pytest.mark.parametrize("path", ["", "**/*.txt", "*/*.txt", "s*/c.txt"])
def test_an_unreadable_directory_is_reported(path: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be read is an error, because its files would be missing; a hidden one is not."""
    scandir = os.scandir

    def refuse(directory: str | Path = ".") -> Any:
        if Path(directory).name in ("sub", ".venv"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
        return scandir(directory)

    monkeypatch.setattr(os, "scandir", refuse)
    if path == "s*/c.txt":
        assert names(tree / path) == ["c.txt"]  # the file is named and can be read
        return
    with pytest.raises(InputError, match=r"cannot be read as a corpus: .*Permission denied: '.*sub'"):
        find_sources(str(tree / path))


@pytest.mark.parametrize("path", ["", "*.txt"])
def test_a_link_to_nothing_is_reported(path: str, tree: Path) -> None:
    """A symbolic link whose file is missing is an error in a directory and in a glob; a hidden one is not."""
    (tree / ".lock").symlink_to("nobody")
    find_sources(str(tree / path))
    (tree / "moved.txt").symlink_to("elsewhere.txt")
    with pytest.raises(InputError, match=r"cannot be read as a corpus: .*No such file or directory: '.*moved\.txt'"):
        find_sources(str(tree / path))


def test_a_deleted_file_is_reported(tmp_path: Path) -> None:
    """A file that is deleted before it is read raises InputError."""
    (tmp_path / "a").write_bytes(b"x")
    (source,) = find_sources(str(tmp_path / "a"))
    (tmp_path / "a").unlink()
    with pytest.raises(InputError, match="a: cannot be read: No such file or directory"):
        list(source.chunks())


def test_an_empty_directory_is_reported(tmp_path: Path) -> None:
    """A directory that contains only hidden files raises an error."""
    (tmp_path / ".hidden").touch()
    with pytest.raises(InputError, match="the directory holds no file to train on"):
        find_sources(str(tmp_path))


@pytest.mark.parametrize("name", list(CORPORA))
def test_a_missing_public_corpus_suggests_the_command(name: str) -> None:
    """If a missing path has the name of a public corpus, the error gives the command that downloads it."""
    with pytest.raises(InputError, match=rf"no such corpus yet\. .*: charlm fetch {name}$"):
        find_sources(f"nowhere/{name}.txt")


def test_a_missing_path_suggests_alternatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any other missing path the error gives the working directory and the available corpora."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        find_sources("my.txt")
    for part in (str(tmp_path), "builtin:python-docs", "charlm fetch tinyshakespeare"):
        assert part in str(raised.value)


@pytest.mark.parametrize("path", ["~nobody-of-that-name/a.txt", 5000 * "x", "a\0b"], ids=["user", "long", "nul"])
def test_an_invalid_path_is_reported(path: str) -> None:
    """A path that the operating system rejects raises InputError."""
    with pytest.raises(InputError):
        find_sources(path)


def test_tilde_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading tilde is expanded to the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").write_bytes(b"x")
    assert read("~/a") == [b"x"]


def test_the_documentation_of_python_is_built_in() -> None:
    """builtin:python-docs is one long text that contains the language reference, and is always the same."""
    (text,) = read("builtin:python-docs")
    assert len(text) > 400_000
    assert text.startswith(b'The "assert" statement')
    assert read("builtin:python-docs") == [text]


def test_the_source_of_python_is_built_in() -> None:
    """builtin:python-source is the modules of the standard library in order, without tests and installed packages."""
    found = find_sources("builtin:python-source")
    files = [Path(source.name) for source in found]
    assert Path(sysconfig.get_path("stdlib")) / "argparse.py" in files
    assert files == sorted(files)
    assert not [file for file in files if {"site-packages", "test"} & set(file.parts)]


def test_modules_are_converted_to_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are read in their declared encoding; tests and installed packages are excluded."""
    (tmp_path / "a.py").write_bytes("# coding: latin-1\n# é".encode("latin-1"))
    (tmp_path / "b.txt").touch()
    for name in ("test", "tests", "site-packages", "__pycache__"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.py").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert read("builtin:python-source") == ["# coding: latin-1\n# é".encode()]


def test_an_unknown_builtin_is_reported() -> None:
    """For an unknown built-in corpus the error lists the known ones."""
    with pytest.raises(
        InputError, match=r"^builtin:x: unknown corpus\. Known: builtin:python-docs and builtin:python-s"
    ):
        find_sources("builtin:x")
