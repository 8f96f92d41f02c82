"""Where a model computes, and in which precision."""

import re
from typing import Literal

import torch

from charlm.errors import InputError

DEVICE_NAME = r"auto|cpu|mps|cuda(:\d+)?"
Precision = Literal["fp32", "bf16"]


def choose_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` takes an NVIDIA GPU where there is one, else the CPU.

    Raises:
        InputError: this machine, or this build of torch, does not have it.
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


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision of the matrix products in training; ``auto`` takes bf16 on a GPU that has it, else fp32."""
    if name == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if name == "bf16" else "fp32"
