"""What a checkpoint's archive may be: one part a name, no more of them than a model has, none longer than the file."""

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import fuzz_readers
import pytest
import torch

from charlm.errors import DamagedError, InputError, OutOfMemoryError
from charlm.runs.archive import MAX_MEMBERS, read_archive


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a small file of torch.save."""
    torch.save({"a": torch.zeros(9)}, tmp_path / "x.pt")
    return tmp_path / "x.pt"


def claim_more(path: Path) -> None:
    """Let the directory of the archive claim two gigabytes for a part of 36 bytes."""
    with zipfile.ZipFile(path, "a") as archive:
        [part] = [info for info in archive.infolist() if info.filename.endswith("data/0")]
        part.file_size = part.compress_size = 2**31 - 1
        archive.writestr("x/more", b"")  # so that the directory is written again


def double_a_name(path: Path) -> None:
    """Give the archive a second pickle of the same name, which another reader may take."""
    with zipfile.ZipFile(path, "a") as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".pkl")]
        archive.writestr(name, archive.read(name))


def add_parts(path: Path) -> None:
    """Add as many parts as no model has."""
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(MAX_MEMBERS):
            archive.writestr(f"x/data/more-{number}", b"")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (claim_more, "its parts claim to be larger than the file"),
        (double_a_name, "two with the same name"),
        (add_parts, "too many parts"),
    ],
)
def test_claims_are_refused(saved: Path, damage: Callable[[Path], None], message: str) -> None:
    """What would take time or memory beyond the file, or hold two truths, is refused before it is read."""
    assert read_archive(saved)["a"].shape == (9,)
    damage(saved)
    with pytest.raises(InputError, match=f"{saved}: refused.*{message}"):
        read_archive(saved)


def nested(depth: int) -> list[object]:
    """Return lists in lists."""
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def shared(depth: int) -> list[object]:
    """Return a few lists that refer to each other, with 2**depth ways through them."""
    value: list[object] = []
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (nested(9), "nested more than 8 deep"),
        (nested(90), "nested more than 8 deep"),
        (shared(60), "nested more than 8 deep"),
        ([shared(6)] * 1000, "over 100,000 values"),
        (dict.fromkeys(range(50_000)), "over 100,000 values"),
        ([0] * 100_000, "over 100,000 values"),
        ({"a": [None] * 1_000_000}, "its pickle has over 1,000,000 operations"),
        (10**400, "a whole number beyond 64 bits"),
        ({-(2**63) - 1: 0}, "a whole number beyond 64 bits"),
        (torch.Size([1]), "names 'torch Size'"),
        ({"a": torch.float32}, "names 'torch float32'"),
        (complex(1, 1), "names '.* complex'"),
        (torch.nn.Parameter(torch.zeros(1)), "names 'torch._utils _rebuild_parameter'"),
        (b"bytes", "names"),
    ],
)
def test_values_that_take_for_ever_are_refused(saved: Path, value: object, message: str) -> None:
    """Too many values, counted as often as code that walks through them meets them, or of another type, are refused."""
    torch.save(value, saved)
    with pytest.raises(InputError, match=f"{saved}: refused.*{message}"):
        read_archive(saved)


def test_set_is_refused(saved: Path) -> None:
    """A set, which torch reads and charlm never writes, is refused."""
    saved.write_bytes(fuzz_readers.forge(b"\x80\x02\x8f."))
    with pytest.raises(InputError, match="the operation EMPTY_SET"):
        read_archive(saved)


@pytest.mark.parametrize("value", [nested(8), [0] * 99_999, -(2**63), 2**64 - 1, {"a": (1.5, None, "x", True)}])
def test_values_within_the_bounds_are_read(saved: Path, value: object) -> None:
    """What a checkpoint may hold comes back unchanged."""
    torch.save(value, saved)
    assert read_archive(saved) == value


def test_second_pickle_is_refused(saved: Path) -> None:
    """An archive with another pickle, which charlm never writes, is refused."""
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("x/more.pkl", b"")
    with pytest.raises(InputError, match="it has 2 pickles instead of 1"):
        read_archive(saved)


def test_shortage_of_memory_is_no_damage(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that does not fit in memory is not called damaged, so that no run sets it aside."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 120000000 bytes.")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(OutOfMemoryError, match="an allocation of 120,000,000 bytes failed"):
        read_archive(saved)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_system_error_is_no_damage(saved: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A file that the system cannot read now may be undamaged."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with pytest.raises(InputError, match=f"cannot be read: {os.strerror(number)}") as caught:
        read_archive(saved)
    assert not isinstance(caught.value, DamagedError)


def test_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe, which would be waited for without end, is refused at once."""
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(InputError, match="this is not a regular file"):
        read_archive(tmp_path / "x.pt")
