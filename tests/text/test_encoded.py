"""Encoded corpora in the cache: damage is found, said and mended; undamaged files are verified once."""

import json
import os
import platform
import random
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch

from charlm.errors import CharlmError
from charlm.text.corpus import Corpus, load_corpus
from charlm.text.encoded import Encoded, _checksum

TEXT = "a text with ≤ 256 symbols\n" * 40


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a text that is encoded in an otherwise empty cache."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8", newline="")
    load_corpus(str(tmp_path / "a.txt"), "char")
    return str(tmp_path / "a.txt")


@pytest.fixture
def folder(path: str, tmp_path: Path) -> Path:
    """The directory of that text in the cache."""
    [folder] = (tmp_path / "cache" / "corpora").iterdir()
    return folder


def load(path: str) -> tuple[Corpus, list[str]]:
    """Return a corpus, and the names of its readings."""
    readings: list[str] = []

    def progress(activity: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
        readings.append(activity)
        return chunks

    return load_corpus(path, "char", progress), readings


def assert_whole(corpus: Corpus) -> None:
    """Assert that a corpus is that of the text."""
    assert corpus.vocabulary.decode(corpus.ids) == TEXT
    assert corpus.counts.tolist() == [TEXT.count(symbol) for symbol in sorted(set(TEXT))]


@pytest.mark.parametrize("name", ["ids.bin", "meta.json"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("is_verified", [False, True], ids=["new", "verified"])
def test_a_flipped_bit_is_mended(name: str, seed: int, is_verified: bool, path: str, folder: Path) -> None:
    """A flipped bit anywhere in the cache is said in one line, and the text is encoded again."""
    if is_verified:
        load(path)
    data = bytearray((folder / name).read_bytes())
    chance = random.Random(seed)  # noqa: S311
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    (folder / name).write_bytes(data)
    with pytest.warns(
        UserWarning, match=r"the encoding of .*a\.txt in the cache is damaged \(.*\); .* encoded again"
    ) as said:
        corpus, readings = load(path)
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert readings[-2:] == ["encoding", "numbering"]
    assert_whole(corpus)
    assert load(path)[1] == ["reading", "verifying"]


@pytest.mark.parametrize("name", ["ids.bin", "meta.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"vocabulary": 1}', b"[" * 100_000])
def test_damaged_files_are_encoded_again(name: str, content: bytes | None, path: str, folder: Path) -> None:
    """A file that is missing or has any other content is said, and the text is encoded again."""
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        assert_whole(load(path)[0])
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_damage_of_the_size_is_mended(path: str, folder: Path) -> None:
    """An encoding whose stored size is damaged, so that it does not seem to be of this text, is replaced too."""
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"num_bytes": 1}))
    with pytest.warns(UserWarning, match=r"meta\.json does not have its checksum"):
        corpus, readings = load(path)
    assert readings == ["encoding", "numbering"]
    assert_whole(corpus)
    assert load(path)[1] == ["reading", "verifying"]


@pytest.mark.parametrize("name", ["ids.bin", "meta.json"])
def test_a_pipe_is_encoded_again(name: str, path: str, folder: Path) -> None:
    """A pipe in the place of a file is not waited for."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.warns(UserWarning, match="damaged"):
        assert_whole(load(path)[0])


def test_huge_metadata_are_not_read(path: str, folder: Path) -> None:
    """Metadata far larger than those of any text are read only to a limit, and the text is encoded again."""
    with (folder / "meta.json").open("wb") as stream:
        stream.truncate(20 << 30)
    with pytest.warns(UserWarning, match=r"damaged \(meta\.json has over 67,108,864 bytes\)"):
        assert_whole(load(path)[0])


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_the_place_of_the_stamp_is_not_followed(kind: str, path: str, folder: Path, tmp_path: Path) -> None:
    """A link or a pipe that was planted at the name of the stamp is replaced; its target is not written."""
    (tmp_path / "precious").write_text("precious")
    load(path)
    [stamp] = folder.glob("verified-*")
    stamp.unlink()
    stamp.symlink_to(tmp_path / "precious") if kind == "link" else os.mkfifo(stamp)
    assert_whole(load(path)[0])
    assert (tmp_path / "precious").read_text() == "precious"
    assert stamp.is_file()
    assert not stamp.is_symlink()


def test_an_earlier_version_is_encoded_again(path: str, folder: Path) -> None:
    """An encoding of an earlier version, which has no checksum, is replaced, as it cannot be verified."""
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({key: meta[key] for key in ("vocabulary", "counts", "num_symbols")}))
    with pytest.warns(UserWarning, match=r"in the cache is of an earlier version of charlm; the text is encoded again"):
        assert_whole(load(path)[0])


def test_ids_out_of_range_are_found(path: str, folder: Path) -> None:
    """An id that is not in the vocabulary is found also where all checksums are right."""
    encoded = Encoded.read(folder)
    fewer = encoded.vocabulary.to_plain() | {"symbols": "".join(encoded.vocabulary.symbols[:-1])}
    counts = encoded.counts[:-1].clone()
    counts[0] += encoded.counts[-1]
    Encoded(encoded.vocabulary.from_plain(fewer), counts, encoded.num_bytes, encoded.checksums).write(folder)
    with pytest.warns(UserWarning, match=r"ids\.bin has an id that is not in the vocabulary"):
        assert_whole(load(path)[0])


def rewrite(folder: Path) -> None:
    """Write the same ids again."""
    (folder / "ids.bin").write_bytes((folder / "ids.bin").read_bytes())


def move(folder: Path) -> None:
    """Copy the directory, as to another disk."""
    shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)


def cut_stamp(folder: Path) -> None:
    """Cut the stamp short."""
    [stamp] = folder.glob("verified-*")
    stamp.write_bytes(stamp.read_bytes()[:-1])


def flip_stamp(folder: Path) -> None:
    """Flip a bit of the stamp."""
    [stamp] = folder.glob("verified-*")
    stamp.write_bytes(bytes([stamp.read_bytes()[0] ^ 1]) + stamp.read_bytes()[1:])


def add_to_stamp(folder: Path) -> None:
    """Add to the stamp."""
    [stamp] = folder.glob("verified-*")
    stamp.write_bytes(stamp.read_bytes() + b"0")


@pytest.mark.parametrize("change", [rewrite, move, cut_stamp, flip_stamp, add_to_stamp])
def test_a_change_is_verified_once(change: Callable[[Path], None], path: str, folder: Path) -> None:
    """The ids are verified once, and once again after any change of their file or of the stamp."""
    assert [load(path)[1] for _ in range(3)] == [["reading", "verifying"], ["reading"], ["reading"]]
    change(folder)
    assert [load(path)[1] for _ in range(2)] == [["reading", "verifying"], ["reading"]]


def test_another_machine_verifies_for_itself(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each machine that shares a cache verifies the ids once."""
    load(path)
    monkeypatch.setattr(platform, "node", lambda: "another")
    assert [load(path)[1] for _ in range(2)] == [["reading", "verifying"], ["reading"]]
    monkeypatch.undo()
    assert len(list(folder.glob("verified-*"))) == 2


def test_without_a_stamp_the_corpus_is_read(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stamp cannot be written, the ids are verified each time."""

    def refuse(*_: object, **__: object) -> None:
        raise CharlmError

    monkeypatch.setattr("charlm.text.encoded.write_atomically", refuse)
    for _ in range(2):
        corpus, readings = load(path)
        assert readings == ["reading", "verifying"]
        assert_whole(corpus)


def test_what_cannot_be_deleted_is_reported(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged encoding that cannot be deleted is an error that names it and the remedy."""
    (folder / "ids.bin").write_bytes(b"")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(
        CharlmError, match=rf"{re.escape(str(folder))}: .* cannot be deleted\. Delete it, or set CHARLM_CAC"
    ):
        load(path)


def test_the_text_is_needed_beside_its_encoding(path: str, folder: Path) -> None:
    """A text that is gone is an error, although its encoding is still in the cache."""
    Path(path).unlink()
    with pytest.raises(CharlmError, match=r"a\.txt: there is no such file"):
        load(path)
    assert folder.is_dir()


def test_a_text_of_a_new_size_is_read_once(path: str, tmp_path: Path) -> None:
    """A text is first read for its digest only if the cache may have it: one of its size, or of an unknown size."""
    (tmp_path / "b.txt").write_text(TEXT + "more", encoding="utf-8")
    assert load(str(tmp_path / "b.txt"))[1] == ["encoding", "numbering"]
    (tmp_path / "c.txt").write_text(TEXT[::-1], encoding="utf-8")
    assert load(str(tmp_path / "c.txt"))[1] == ["reading", "encoding", "numbering"]


def test_the_metadata_is_readable(folder: Path) -> None:
    """The metadata is JSON whose checksum covers the rest."""
    meta = json.loads((folder / "meta.json").read_text())
    assert meta.pop("checksum") == _checksum(meta)
    assert meta["num_symbols"] == len(TEXT)
    assert torch.tensor(meta["counts"]).sum() == len(TEXT)
