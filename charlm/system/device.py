"""Selection of the torch device."""

import re

import torch

from charlm.errors import ArgumentError
from charlm.system.memory import available_bytes

DEVICE_NAME = r"auto|cpu|mps|cuda(:\d+)?"


def choose_device(name: str, argument: str = "device") -> torch.device:
    """Return a device by name; ``auto`` selects an NVIDIA GPU if there is one, else the CPU.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        argument: name of the argument or the configuration key in an error.

    Raises:
        ArgumentError: the name is unknown, or this machine or this build of torch does not have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(DEVICE_NAME, name):
        raise ArgumentError(argument, f"expected auto, cpu, cuda, cuda:N or mps, got {name!r}.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ArgumentError(
            argument,
            f"{name} is not on this machine, where torch {torch.__version__} sees {torch.cuda.device_count()} "
            "NVIDIA GPUs. Use auto or cpu.",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ArgumentError(argument, f"{name} is not on this machine. Use auto or cpu.")
    return device


def available_memory(device: torch.device) -> int | None:
    """Return how much of a device's memory this process may take, in bytes; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes() if device.type == "cpu" else None
