"""The location of the cache."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.errors import CharlmError, InputError
from charlm.system.cache import cache_directory


def test_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHARLM_CACHE_DIR is used unchanged."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", "/some/where")
    assert cache_directory() == Path("/some/where")


@pytest.mark.skipif(sys.platform != "linux", reason="the places are those of Linux")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HOME": "/home/a"}, "/home/a/.cache/charlm"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/charlm"),
        ({"HOME": "/home/a", "CHARLM_CACHE_DIR": ""}, "/home/a/.cache/charlm"),
    ],
)
def test_place_of_the_platform(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CHARLM_CACHE_DIR the cache is in the platform's user cache directory."""
    for name in ("CHARLM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == Path(expected)


@pytest.mark.parametrize("name", ["CHARLM_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_name_that_is_no_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache whose path is not valid UTF-8, which torch could not open, is refused."""
    monkeypatch.delenv("CHARLM_CACHE_DIR", raising=False)
    monkeypatch.setenv(name, os.fsdecode(b"/some/\xff"))
    with pytest.raises(InputError, match=r"^/some/\\xff\S*: the path is not valid UTF-8\."):
        cache_directory()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Simulate a user without a home directory; return the directory for temporary files."""

    def fail(user: int) -> None:
        raise KeyError(user)

    for name in ("CHARLM_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_user_without_a_home(temporary: Path) -> None:
    """For a user without a home directory the cache is a private temporary directory, the same in every call."""
    directory = cache_directory()
    assert directory == temporary / f"charlm-{os.geteuid()}"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert cache_directory() == directory


def open_to_others(directory: Path) -> None:
    """Create a directory that every user can write to."""
    directory.mkdir()
    directory.chmod(0o777)


def link_elsewhere(directory: Path) -> None:
    """Create a symbolic link to another directory."""
    (directory.parent / "other").mkdir()
    directory.symlink_to(directory.parent / "other")


@pytest.mark.parametrize("make", [open_to_others, link_elsewhere, Path.touch], ids=["open", "link", "file"])
def test_folder_of_others_is_refused(temporary: Path, make: Callable[[Path], None]) -> None:
    """A temporary directory that other users can write to is refused, and the message gives the remedy."""
    make(temporary / f"charlm-{os.geteuid()}")
    with pytest.raises(CharlmError, match=r"cannot be used as the cache: .*CHARLM_CACHE_DIR"):
        cache_directory()


def test_folder_of_another_user_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that belongs to another user is refused."""
    user = os.geteuid()
    (temporary / f"charlm-{user + 1}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(CharlmError, match="other users can write to it"):
        cache_directory()
