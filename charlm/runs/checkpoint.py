"""Checkpoints: self-contained files that are written atomically and read safely."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charlm.model import CharLM
from charlm.runs.archive import read_archive
from charlm.runs.description import Description, describe, explain_damage, parse_content
from charlm.runs.resumption import is_plain
from charlm.system.files import write_atomically


@dataclass(kw_only=True)
class Checkpoint(Description):
    """A model at one step of a run.

    Attributes:
        weights: the model's state dict.
        training: the further state that resuming needs; empty in ``best.pt``.
    """

    weights: dict[str, Tensor]
    training: dict[str, Any] = field(default_factory=dict)

    def build_model(self, device: torch.device, kernel: str = "auto") -> CharLM:
        """Return the model with these weights, in evaluation mode."""
        with torch.device("meta"):
            model = CharLM(len(self.vocabulary), **self.config.model.model_dump(), kernel=kernel)
        weights = {name: weight.to(device, copy=True) for name, weight in self.weights.items()}
        model.load_state_dict(weights, assign=True)
        return model.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path, former: Sequence[Path] = ()) -> None:
    """Write a checkpoint atomically.

    Args:
        checkpoint: the checkpoint to write.
        path: the file.
        former: paths under which earlier checkpoints are kept, the newest first.

    Raises:
        CharlmError: the disk is full or not writable; the old file is kept.
    """
    content = describe(checkpoint) | {"weights": checkpoint.weights, "training": checkpoint.training}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer(), former)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU. No code in the file is executed, whatever its content.

    Raises:
        DamagedError: the file is not a charlm checkpoint, is damaged, or is refused as unsafe.
        InputError: it does not exist, cannot be read by the system, or has a format that this charlm cannot read.
        OutOfMemoryError: it does not fit in memory.
    """
    content = read_archive(path)
    description = parse_content(content, path)
    checkpoint = Checkpoint(**vars(description), weights=content["weights"], training=content["training"])
    with explain_damage(path):
        _check_weights(checkpoint.weights, path.stat().st_size)
        _check_shapes(checkpoint.weights, checkpoint)
    return checkpoint


def _check_weights(weights: dict[Any, Any], file_bytes: int) -> None:
    """Check that the weights are finite, dense float32 tensors and do not take more memory than the file has bytes.

    Raises:
        ValueError: a weight is not a dense float32 tensor or not finite, or several weights share storage.
    """
    if not all(type(name) is str and is_plain(weight) for name, weight in weights.items()):
        raise ValueError("a weight is not a dense tensor")
    if any(weight.dtype != torch.float32 for weight in weights.values()):
        raise ValueError("a weight is not of type float32")
    if sum(weight.nbytes for weight in weights.values()) > file_bytes:
        raise ValueError("the weights claim to be larger than the file")
    if not all(bool(weight.isfinite().all()) for weight in weights.values()):
        raise ValueError("a weight is not a finite number")


def _check_shapes(weights: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    """Check the shapes of the weights against the configuration before the model is allocated.

    Raises:
        ValueError: a shape differs.
    """
    with torch.device("meta"):
        model = CharLM(len(checkpoint.vocabulary), **checkpoint.config.model.model_dump(), kernel="reference")
    expected = {name: weight.shape for name, weight in model.state_dict().items()}
    found = {name: weight.shape for name, weight in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            claimed, held = (list(shapes[name]) if name in shapes else "none" for shapes in (expected, found))
            raise ValueError(
                f"its weights do not match its own configuration: {name[:80]!r} should be {claimed} and is {held}"
            )
