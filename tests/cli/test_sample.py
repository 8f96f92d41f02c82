"""charlm sample: what it says about a model that writes garbage without a prompt."""

import io
from pathlib import Path

import pytest
from command_line import CharlmCommand


@pytest.mark.parametrize(
    ("options", "is_told"), [([], True), (["--json"], True), (["--prompt", "9"], False), (["--interactive"], False)]
)
def test_garbage_is_told_where_there_is_no_prompt(
    charlm: CharlmCommand, run: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], is_told: bool
) -> None:
    """A model that writes garbage from nothing is told before it does so, and not before it continues a text."""
    monkeypatch.setattr("charlm.inference.coherence.MAX_GARBAGE_FRAC", -1.0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    done = charlm("sample", run, "--length", 3, *options)
    assert done.status == 0
    assert ("writes without a prompt is unlike its training text" in done.err) == is_told
