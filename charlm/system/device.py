"""Selection of the torch device."""

import re

import torch

from charlm.errors import InputError
from charlm.system.memory import available_bytes

DEVICE_NAME = r"auto|cpu|mps|cuda(:\d+)?"


def choose_device(name: str) -> torch.device:
    """Return a device by name; ``auto`` selects an NVIDIA GPU if there is one, else the CPU.

    Raises:
        InputError: the name is unknown, or this machine or this build of torch does not have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(DEVICE_NAME, name):
        raise InputError(f"device {name}: unknown. Use auto, cpu, cuda, cuda:N or mps.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name}: not on this machine, where torch {torch.__version__} sees {torch.cuda.device_count()} "
            "NVIDIA GPUs. Use auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {name}: not on this machine. Use auto or cpu.")
    return device


def available_memory(device: torch.device) -> int | None:
    """Return how much of a device's memory this process may take, in bytes; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes() if device.type == "cpu" else None
