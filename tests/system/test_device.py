"""Selection of devices by name."""

import pytest
import torch

from charlm.errors import InputError
from charlm.system.device import choose_device


def test_cpu_is_always_available() -> None:
    """The name cpu gives the CPU, and auto gives the CPU or a GPU."""
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["cuda:99", "mps"])
def test_missing_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing device raises an error that names it and the alternatives."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"^device: {name} is not on this machine.*Use auto or cpu"):
        choose_device(name)
