"""A compiler, an empty cache, and a kernel that is chosen anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from c_compiler import COMPILER, NO_COMPILER

from charlm.lstm.kernels import choose_kernel, compiler, native


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources, with an empty cache and, for speed, one instruction set."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiler, "INSTRUCTION_SETS", {"portable": ()})
    return Path(shutil.copytree(compiler.SOURCES, tmp_path / "sources"))


@pytest.fixture
def _fresh_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty cache, and no kernel that was chosen or loaded before."""
    monkeypatch.setenv("CHARLM_CACHE_DIR", str(tmp_path / "cache"))
    cached = (choose_kernel, native.fastest_instruction_set, native.load_library)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of a library with one instruction set."""
    if not COMPILER:
        pytest.skip(NO_COMPILER)
    library = tmp_path_factory.mktemp("built") / "lstm.so"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "INSTRUCTION_SETS", {"portable": ()})
        compiler.compile_library(COMPILER, compiler.SOURCES, library)
    return library.read_bytes()


@pytest.fixture
def fast_build(built: bytes, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the build take no time; return a list that grows by one entry for each build."""
    builds: list[int] = []

    def build(_: list[str]) -> bytes:
        builds.append(len(builds))
        return built

    monkeypatch.setattr(native, "build", build)
    return builds
