"""Where the cache lies."""

import tempfile
from pathlib import Path

import pytest

from charlm.system.cache import cache_directory


def test_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHARLM_CACHE_DIR is taken as it is."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", "/some/where")
    assert cache_directory() == Path("/some/where")


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", None, "/home/a/.cache/charlm"),
        ("linux", "XDG_CACHE_HOME", "/elsewhere/charlm"),
        ("darwin", None, "/home/a/Library/Caches/charlm"),
        ("win32", None, "/home/a/AppData/Local/charlm"),
        ("win32", "LOCALAPPDATA", "/elsewhere/charlm"),
    ],
)
def test_place_of_the_platform(
    platform: str, variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it lies where each platform keeps caches."""
    for name in ("CHARLM_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "/elsewhere")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/a"))
    monkeypatch.setattr("sys.platform", platform)
    assert cache_directory() == Path(expected)


def test_nobody_has_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know keeps it with the temporary files."""

    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CHARLM_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    assert cache_directory() == Path(tempfile.gettempdir()) / "charlm"
