"""Devices and precisions by name."""

import pytest
import torch

from charlm.errors import InputError
from charlm.system.device import choose_device


def test_cpu_is_always_there() -> None:
    """The CPU is found by its name, and auto finds something."""
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["cuda:99", "mps"])
def test_missing_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is not there is named, with what to use instead."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"device {name}: not on this machine.*Use auto or cpu"):
        choose_device(name)
