"""Checkpoints: self-contained files that are written atomically and read safely."""

import io
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charlm.config import Config, parse_config
from charlm.errors import ConfigError, DamagedError, InputError
from charlm.model import CharLM
from charlm.runs.archive import REMEDY, read_archive
from charlm.runs.resumption import is_plain
from charlm.system.files import write_atomically
from charlm.system.version import __version__
from charlm.text.vocabulary import Vocabulary

FORMAT = 1
"""Version of the file format; increased when older versions of charlm cannot read the new files."""

OLDEST_FORMAT = 1
"""The oldest format that this charlm reads."""


@dataclass
class Checkpoint:
    """A model at one step of a run.

    Attributes:
        config: the run's configuration.
        vocabulary: the model's symbols.
        corpus_digest: digest of the training text.
        step: number of optimizer steps taken.
        loss_nats: validation loss when it was saved, nats per character; None before the first validation.
        weights: the model's state dict.
        training: the further state that resuming needs; empty in ``best.pt``.
        garbage_frac: fraction of garbage in text that the best model generates without a prompt; None if not measured.
    """

    config: Config
    vocabulary: Vocabulary
    corpus_digest: str
    step: int
    loss_nats: float | None
    weights: dict[str, Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    garbage_frac: float | None = None

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
    content = describe_checkpoint(checkpoint) | {"weights": checkpoint.weights, "training": checkpoint.training}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer(), former)


def describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all of a checkpoint but its tensors, as plain values that JSON has too; for ``parse_description``."""
    return {
        "format": FORMAT,
        "charlm_version": __version__,
        "config": checkpoint.config.model_dump(),
        "vocabulary": checkpoint.vocabulary.to_plain(),
        "corpus_digest": checkpoint.corpus_digest,
        "step": checkpoint.step,
        "loss_nats": checkpoint.loss_nats,
        "garbage_frac": checkpoint.garbage_frac,
    }


def load_checkpoint(path: Path, reads_tensors: bool = True) -> Checkpoint:
    """Read a checkpoint to the CPU. No code in the file is executed, whatever its content.

    Args:
        path: the file.
        reads_tensors: False leaves the weights and all other tensors in the file, unread and unchecked: no model can
            be built from them. This takes milliseconds, whatever the size of the model.

    Raises:
        DamagedError: the file is not a charlm checkpoint, is damaged, or is refused as unsafe.
        InputError: it does not exist, cannot be read by the system, or has a format that this charlm cannot read.
        OutOfMemoryError: it does not fit in memory.
    """
    content = read_archive(path, reads_tensors)
    if not isinstance(content, dict) or "format" not in content:
        raise DamagedError(f"{path}: this is not a charlm checkpoint. {REMEDY}")
    check_format(content, path)
    try:
        checkpoint = parse_description(content, str(path))
        weights, training = content.get("weights"), content.get("training")
        if not isinstance(weights, dict) or not isinstance(training, dict):
            raise ValueError("weights or training is missing or has a wrong type")
        if reads_tensors:
            _check_weights(weights, path.stat().st_size)
            _check_shapes(weights, checkpoint)
        return replace(checkpoint, weights=weights, training=training)
    except (KeyError, ValueError, TypeError, AttributeError, InputError) as error:
        reason = " ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        raise DamagedError(f"{path}: the checkpoint's content is damaged: {reason.rstrip('.')}. {REMEDY}") from None


def parse_description(content: dict[str, Any], name: str) -> Checkpoint:
    """Return the checkpoint that ``describe_checkpoint`` described, without its tensors.

    Args:
        content: any values; those of other keys are ignored.
        name: name of the file in an error.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, ConfigError: a value is missing, or has a wrong type or range.
    """
    config = parse_config(content["config"], name)
    vocabulary = Vocabulary.from_plain(content["vocabulary"])
    _check_plain_values(content, config.train.max_steps)
    digest, step, loss_nats = content["corpus_digest"], content["step"], content["loss_nats"]
    return Checkpoint(config, vocabulary, digest, step, loss_nats, {}, garbage_frac=content.get("garbage_frac"))


def check_format(content: dict[str, Any], path: Path, remedy: str = REMEDY) -> None:
    """Check that this version of charlm can read the format.

    Raises:
        DamagedError: the format is not a whole number.
        InputError: it cannot; the message gives a version that can.
    """
    found, writer = content["format"], content.get("charlm_version")
    if type(found) is not int:
        raise DamagedError(f"{path}: this is not a charlm checkpoint: its format is {reprlib.repr(found)}. {remedy}")
    known_writer = f"charlm {writer[:20]}" if isinstance(writer, str) else None
    if found > FORMAT:
        raise InputError(
            f"{path}: written in format {found} by {known_writer or 'a newer charlm'}; this is charlm {__version__}, "
            f"which reads formats up to {FORMAT}. Upgrade charlm."
        )
    if found < OLDEST_FORMAT:
        raise InputError(
            f"{path}: written in format {found} by {known_writer or 'an older charlm'}; this is charlm {__version__}, "
            f"which reads formats from {OLDEST_FORMAT}. Use the version that wrote it, or train the model again."
        )


PLAIN_TYPES = {"config": dict, "vocabulary": dict, "corpus_digest": str, "step": int}


def _check_plain_values(content: dict[str, Any], max_steps: int) -> None:
    """Check the types and ranges of a checkpoint's values.

    Raises:
        ValueError, KeyError: a value is missing, or has a wrong type or range.
    """
    for name, expected in PLAIN_TYPES.items():
        if name not in content:
            raise ValueError(f"{name} is missing")
        if not isinstance(content[name], expected) or isinstance(content[name], bool):
            raise ValueError(f"{name} has a wrong type")
    if not 0 <= content["step"] <= max_steps:
        raise ValueError(f"step {content['step']} is not one of a run of {max_steps} steps")
    loss = content["loss_nats"]
    if loss is not None and not (isinstance(loss, float) and 0 <= loss < math.inf):
        raise ValueError("loss_nats is not a finite number of at least 0")
    garbage_frac = content.get("garbage_frac")  # missing in older checkpoints
    if garbage_frac is not None and not (isinstance(garbage_frac, float) and 0 <= garbage_frac <= 1):
        raise ValueError("garbage_frac is not a number from 0 to 1")


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
