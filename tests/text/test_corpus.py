"""Corpora: text as ids on disk, in a cache keyed by content."""

import errno
import gzip
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.errors import CharlmError, InputError
from charlm.text import sources
from charlm.text.corpus import load_corpus
from charlm.text.decoding import BYTE_ORDER_MARK
from charlm.text.drafts import Progress
from charlm.text.vocabulary import Level

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The corpora directory of an empty cache."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_BYTES", 4)


def write(directory: Path, content: str | bytes, name: str = "a.txt") -> str:
    """Write a corpus and return its path."""
    file = directory / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


def spy() -> tuple[list[str], Progress]:
    """Return a list, and a progress callback that appends the name of each activity to it."""
    readings: list[str] = []

    def progress(activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        readings.append(activity)
        return chunks

    return readings, progress


def fail_while(activity: str, error: BaseException) -> Progress:
    """Return a progress callback that raises in the middle of one activity."""

    def chunks_until(chunks: Iterable[bytes]) -> Iterable[bytes]:
        yield from list(chunks)[:1]
        raise error

    return lambda current, chunks: chunks_until(chunks) if current == activity else chunks


@given(TEXT, st.integers(3, 9))
@example("é€😀" * 5, 4)
@example(BYTE_ORDER_MARK + "a", 3)
def test_char_round_trip(text: str, chunk_bytes: int) -> None:
    """The ids decode to the text without its byte-order mark, for any text and any chunk boundaries."""
    expected = text.removeprefix(BYTE_ORDER_MARK)
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK_BYTES", chunk_bytes)
        patch.setenv("CHARLM_CACHE_DIR", f"{directory}/cache")
        path = write(Path(directory), text)
        if not expected:
            with pytest.raises(InputError, match=r"a\.txt: the corpus is empty\.$"):
                load_corpus(path, "char")
            return
        corpus = load_corpus(path, "char")
        assert corpus.vocabulary.decode(corpus.ids) == expected
        assert corpus.vocabulary.symbols == sorted(set(expected))
        assert corpus.counts.tolist() == [expected.count(symbol) for symbol in corpus.vocabulary.symbols]
        assert corpus.name == path


@given(st.binary(min_size=1), st.integers(1, 9))
def test_byte_round_trip(data: bytes, chunk_bytes: int) -> None:
    """At level byte the ids and counts are those of the bytes, including zeros and invalid UTF-8."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK_BYTES", chunk_bytes)
        patch.setenv("CHARLM_CACHE_DIR", f"{directory}/cache")
        corpus = load_corpus(write(Path(directory), data), "byte")
        assert bytes(corpus.ids.tolist()) == data
        assert corpus.ids.dtype == torch.uint8
        assert corpus.counts.tolist() == [data.count(byte) for byte in range(256)]


def test_files_are_joined(tmp_path: Path, cache: Path) -> None:
    """The files of a directory are joined, without byte-order marks and with .gz files decompressed."""
    write(tmp_path / "d", "\ufeffone ", "1.txt")
    write(tmp_path / "d", gzip.compress("\ufefftwo ".encode()), "2.txt.gz")
    write(tmp_path / "d", "", "3.txt")
    write(tmp_path / "d", "thr\ufeffee", "4.txt")
    corpus = load_corpus(str(tmp_path / "d"), "char")
    assert corpus.vocabulary.decode(corpus.ids) == "one two thr\ufeffee"


@pytest.mark.parametrize(
    ("num_symbols", "dtype"),
    [(256, torch.uint8), (257, torch.uint16), (65_536, torch.uint16), (65_537, torch.int32)],
)
def test_ids_have_the_narrowest_dtype(num_symbols: int, dtype: torch.dtype, tmp_path: Path, cache: Path) -> None:
    """The ids have the narrowest dtype that fits the vocabulary, without overflow."""
    text = "".join(chr(code) for code in range(1, num_symbols + 2049) if not 0xD800 <= code < 0xE000)[:num_symbols]
    corpus = load_corpus(write(tmp_path, text), "char")
    assert len(corpus.vocabulary) == num_symbols
    assert corpus.ids.dtype == dtype
    assert torch.equal(corpus.ids.to(torch.int64), torch.arange(num_symbols))
    (encoded,) = cache.glob("*/ids.bin")
    assert encoded.stat().st_size == num_symbols * dtype.itemsize


def test_a_text_that_is_refused_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    """A text that is not UTF-8 is named among several, and leaves nothing in the cache."""
    write(tmp_path / "d", "good\n", "1.txt")
    path = write(tmp_path / "d", b"gr\xfcn\n", "2.txt")
    with pytest.raises(InputError, match=rf"^{path}: line 1, byte offset 2: the byte 0xfc is not UTF-8"):
        load_corpus(str(tmp_path / "d"), "char")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("level", ["char", "byte"])
def test_an_empty_corpus_is_refused(level: str, tmp_path: Path, cache: Path) -> None:
    """An empty corpus raises an error and leaves nothing in the cache."""
    with pytest.raises(InputError, match=r"a\.txt: the corpus is empty\.$"):
        load_corpus(write(tmp_path, ""), level)
    assert list(cache.iterdir()) == []


def test_a_corpus_is_encoded_once(tmp_path: Path, cache: Path) -> None:
    """A corpus is read once to encode it and later only for its digest; the cache is verified once."""
    readings, progress = spy()
    path = write(tmp_path, "some text")
    first = load_corpus(path, "char", progress)
    assert readings == ["encoding", "numbering"]
    readings.clear()
    second = load_corpus(path, "char", progress)
    assert readings == ["reading", "verifying"]
    readings.clear()
    load_corpus(path, "char", progress)
    assert readings == ["reading"]
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.counts, second.counts)
    assert (first.vocabulary, first.digest) == (second.vocabulary, second.digest)


def test_the_cache_is_keyed_by_content(tmp_path: Path, cache: Path) -> None:
    """A copy of a file shares its encoding; an edited file of the same name and length does not."""
    readings, progress = spy()
    original = load_corpus(write(tmp_path, "abc"), "char")
    copy = load_corpus(write(tmp_path, "abc", "copy.txt"), "char", progress)
    assert (copy.digest, copy.name, readings) == (original.digest, str(tmp_path / "copy.txt"), ["reading", "verifying"])
    edited = load_corpus(write(tmp_path, "cbd"), "char")
    assert edited.digest != original.digest
    assert edited.vocabulary.decode(edited.ids) == "cbd"
    assert original.vocabulary.decode(original.ids) == "abc"


def test_the_cache_is_keyed_by_level(tmp_path: Path, cache: Path) -> None:
    """The same text at two levels has two cache entries."""
    path = write(tmp_path, "é")
    chars, data = load_corpus(path, "char"), load_corpus(path, "byte")
    assert (chars.ids.tolist(), data.ids.tolist()) == ([0], [0xC3, 0xA9])
    assert chars.digest != data.digest
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("activity", ["encoding", "numbering"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")], ids=["ctrl-c", "full"])
def test_an_interrupted_encoding_leaves_nothing(
    activity: str, error: BaseException, tmp_path: Path, cache: Path
) -> None:
    """An encoding that is interrupted in any activity leaves nothing in the cache, and the next attempt succeeds."""
    path = write(tmp_path, "some text")
    with pytest.raises(CharlmError if isinstance(error, OSError) else type(error)):
        load_corpus(path, "char", fail_while(activity, error))
    assert list(cache.iterdir()) == []
    corpus = load_corpus(path, "char")
    assert corpus.vocabulary.decode(corpus.ids) == "some text"


@pytest.mark.parametrize("moment", ["encoding", "numbering"])
def test_concurrent_encodings_agree(moment: str, tmp_path: Path, cache: Path) -> None:
    """If another process finishes the same corpus first, its encoding is used and no temporary files are left."""
    path = write(tmp_path, "some text")

    def progress(activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        if activity == moment:
            load_corpus(path, "char")
        return chunks

    corpus = load_corpus(path, "char", progress)
    assert corpus.vocabulary.decode(corpus.ids) == "some text"
    assert [folder.name for folder in cache.iterdir()] == [corpus.digest]


def change_while(activity: str, change: Callable[[], object]) -> Progress:
    """Return a progress callback that changes something after the first chunk of one activity."""

    def chunks_around_change(chunks: Iterable[bytes]) -> Iterable[bytes]:
        for number, chunk in enumerate(chunks):
            yield chunk
            if number == 0:
                change()

    return lambda current, chunks: chunks_around_change(chunks) if current == activity else chunks


OLD, NEW = "the old text", "another text \u2264"


def append(file: Path) -> None:
    """Let a file grow."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write("more")


def replace(file: Path) -> None:
    """Put another file in the place of one."""
    file.with_suffix(".new").write_text(NEW, encoding="utf-8")
    file.with_suffix(".new").replace(file)


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("activity", ["reading", "encoding", "numbering"])
@pytest.mark.parametrize(
    "change",
    [append, replace, Path.unlink, lambda file: file.write_text(NEW), lambda file: os.truncate(file, 5)],
    ids=["append", "replace", "delete", "rewrite", "truncate"],
)
def test_a_changing_text_is_whole_or_refused(
    activity: str, change: Callable[[Path], object], tmp_path: Path, cache: Path
) -> None:
    """A text that changes at any moment is refused, or read as it was or is; the cache never has wrong ids for it."""
    file = Path(write(tmp_path, OLD))
    if activity == "reading":
        load_corpus(
            write(tmp_path, NEW[::-1].encode()[: len(OLD)], "b.txt"), "byte"
        )  # so that the digest is read first
    os.utime(file, ns=(0, 0))
    try:
        corpus = load_corpus(str(file), "char", change_while(activity, lambda: change(file)))
    except InputError as error:
        assert re.search(r"changes while it is read|No such file", str(error))
    else:
        assert corpus.vocabulary.decode(corpus.ids) in (OLD, NEW)
    for text in (OLD, NEW):
        write(tmp_path, text)
        after = load_corpus(str(file), "char")
        assert after.vocabulary.decode(after.ids) == text
        assert after.counts.tolist() == [text.count(symbol) for symbol in after.vocabulary.symbols]


@pytest.mark.parametrize("level", ["char", "byte"])
def test_digests_are_those_of_old_checkpoints(level: Level, tmp_path: Path, cache: Path) -> None:
    """The digest, which checkpoints store, is that of version 0.1: of the level and the digests of the files."""
    for name, text in (("1.txt", "one"), ("2.txt", "two \u2264")):
        write(tmp_path / "d", text, name)
    parts = b"".join(hashlib.sha256(text.encode()).digest() for text in ("one", "two \u2264"))
    expected = hashlib.sha256(f"charlm corpus 1 {level}".encode() + parts).hexdigest()
    for _ in range(2):
        assert load_corpus(str(tmp_path / "d"), level).digest == expected


def test_extended_corpus(tmp_path: Path, cache: Path) -> None:
    """Further symbols follow those of the text and occur 0 times; the ids are the same."""
    corpus = load_corpus(write(tmp_path, "baobab"), "char")
    extended = corpus.extend("xbz")
    assert extended.vocabulary.symbols == ["a", "b", "o", "x", "z"]
    assert extended.counts.tolist() == [2, 3, 1, 0, 0]
    assert torch.equal(extended.ids, corpus.ids)
    assert extended.digest == corpus.digest
