"""The model of a disk that loses power, and a short run of scripts/simulate_power_loss.py."""

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from repository import ROOT, load_script

ROOT_DIRECTORY = Path("/disk")


@pytest.fixture
def power_loss(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module; it imports others of its directory."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return load_script("simulate_power_loss")


@pytest.fixture
def disk_model() -> ModuleType:
    """Return the model as a module."""
    return load_script("disk_model")


def quote(text: str) -> str:
    """Return a text as strace writes it with -xx."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def create(name: str, content: str) -> list[str]:
    """Return the calls that create a file."""
    path = quote(f"/disk/{name}")
    return [
        f'openat(AT_FDCWD<{quote("/")}>, "{path}", O_WRONLY|O_CREAT|O_EXCL, 0666) = 3<{path}>',
        f'write(3<{path}>, "{quote(content)}", {len(content)}) = {len(content)}',
    ]


def rename(old: str, new: str) -> str:
    """Return the call that renames a file."""
    return f'rename("{quote(f"/disk/{old}")}", "{quote(f"/disk/{new}")}") = 0'


FLUSH = f"fsync(3<{quote('/disk/a')}>) = 0"
FLUSH_DIRECTORY = f"fsync(4<{quote('/disk')}>) = 0"


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (create("a", "new!"), [{}, {"a": b""}, {"a": b"ne"}, {"a": b"new!"}]),
        ([*create("a", "new!"), FLUSH], [{}, {"a": b"new!"}]),
        ([*create("a", "new!"), FLUSH_DIRECTORY], [{"a": b""}, {"a": b"ne"}, {"a": b"new!"}]),
        ([*create("a", "new!"), FLUSH, FLUSH_DIRECTORY, rename("a", "b")], [{"a": b"new!"}, {"b": b"new!"}]),
        (
            [*create("a", "new!"), FLUSH_DIRECTORY, rename("a", "b"), FLUSH_DIRECTORY],
            [{"b": b""}, {"b": b"ne"}, {"b": b"new!"}],
        ),
        (
            [*create("a", "x"), FLUSH, *create("c", "y")],
            [{}, {"a": b"x"}, {"c": b""}, {"a": b"x", "c": b""}, {"a": b"x", "c": b"y"}],
        ),
    ],
    ids=[
        "nothing flushed",
        "content flushed",
        "name flushed",
        "renamed",
        "renamed before its content",
        "reordered names",
    ],
)
def test_disks_that_are_left(disk_model: ModuleType, calls: list[str], expected: list[dict[str, bytes]]) -> None:
    """A power failure may leave exactly these disks."""
    disk = disk_model.Disk(ROOT_DIRECTORY)
    for call in calls:
        assert disk.replay(call)
    left = {tuple(sorted(content.items())) for content in disk.leftovers()}
    assert left == {tuple(sorted(content.items())) for content in expected}


def test_failed_calls_and_other_places_change_nothing(disk_model: ModuleType) -> None:
    """A call that failed, or that concerns files elsewhere, is not replayed."""
    disk = disk_model.Disk(ROOT_DIRECTORY)
    assert not disk.replay(rename("a", "b").replace("= 0", "= -1 ENOENT (No such file or directory)"))
    assert not disk.replay(f'mkdir("{quote("/elsewhere/a")}", 0777) = 0')


def can_trace() -> bool:
    """Return whether system calls can be recorded here."""
    command = ["strace", "-f", "-o", "/dev/null", "true"]
    return (
        shutil.which("strace") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_trace(), reason="THE LOSS OF POWER IS NOT TESTED: strace is missing or not permitted")
def test_no_disk_that_is_left_is_damaged(
    power_loss: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure at any moment all files are as before or as after, and what was saved is still there."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))  # the script sets it, and it is restored
    tally = power_loss.simulate(tmp_path, steps=4, resume_every=300)
    assert tally.problems == []
    assert tally.disks > tally.calls > 50
