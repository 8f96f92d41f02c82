"""What the environment says of how a process was started."""

import pytest

from charlm.system.launch import Launch, read_launch


def test_a_process_of_torchrun_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that torchrun sets are read as numbers."""
    values = {
        "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "host",
        "MASTER_PORT": "2950", "TORCHELASTIC_RUN_ID": "none",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert read_launch() == Launch(5, 8, 1, 4, "host", 2950)


def test_another_process_has_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchrun there is nothing to read, also if other tools set some of the variables."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert read_launch() is None
