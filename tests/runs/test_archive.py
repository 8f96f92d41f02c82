"""What a checkpoint's archive may be: one part a name, no more of them than a model has, none longer than the file."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from charlm.errors import InputError
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


def test_pipe_is_refused(tmp_path: Path) -> None:
    """A pipe, which would be waited for without end, is refused at once."""
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(InputError, match="this is not a regular file"):
        read_archive(tmp_path / "x.pt")
