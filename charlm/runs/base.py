"""The base of a run, ``train.init_from``: the trained model whose weights it begins with."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlm.errors import InputError
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.opening import open_model


@dataclass(frozen=True)
class Base:
    """A trained model that another run begins with.

    Attributes:
        path: where it was read, as ``train.init_from`` has it.
        checkpoint: the model; of a run with averaged weights, the average.
        digest: SHA-256 of the model, in hexadecimal.
    """

    path: str
    checkpoint: Checkpoint
    digest: str


def read_base(path: str, warn: Callable[[str], None]) -> Base:
    """Read the model of a run directory (its best checkpoint), a checkpoint file, or an export.

    Args:
        path: the directory or the file.
        warn: called with a message for each damaged checkpoint of the directory that is replaced by an earlier one.

    Raises:
        InputError: there is no undamaged model.
    """
    try:
        checkpoint, damaged = open_model(Path(path))
    except InputError as error:
        raise InputError(f"train.init_from: {error}") from None
    for reason in damaged.values():
        warn(f"{reason} Taken in its place: the save of step {checkpoint.step}.")
    return Base(path, checkpoint, digest_model(checkpoint))


def digest_model(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of a model in hexadecimal: of its symbols and weights, wherever and however it is stored."""
    shapes = {name: list(weight.shape) for name, weight in sorted(checkpoint.weights.items())}
    digest = hashlib.sha256(json.dumps([checkpoint.vocabulary.to_plain(), shapes]).encode())
    for name in shapes:
        digest.update(checkpoint.weights[name].numpy().data)
    return digest.hexdigest()
