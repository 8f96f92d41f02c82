"""All of a checkpoint but its tensors: configuration, vocabulary, step and loss, checked without torch."""

import math
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.config import Config, parse_config
from charlm.errors import ConfigError, DamagedError, InputError
from charlm.runs.archive import REMEDY
from charlm.system.version import __version__
from charlm.text.vocabulary import Vocabulary

FORMAT = 1
"""Version of the file format; increased when older versions of charlm cannot read the new files."""

OLDEST_FORMAT = 1
"""The oldest format that this charlm reads."""


@dataclass
class Description:
    """What a checkpoint says about its model.

    Attributes:
        config: the run's configuration.
        vocabulary: the model's symbols.
        corpus_digest: digest of the training text.
        step: number of optimizer steps taken.
        loss_nats: validation loss when it was saved, nats per character; None before the first validation.
        garbage_frac: fraction of garbage in text that the best model generates without a prompt; None if not measured.
    """

    config: Config
    vocabulary: Vocabulary
    corpus_digest: str
    step: int
    loss_nats: float | None
    garbage_frac: float | None = None


def describe(checkpoint: Description) -> dict[str, Any]:
    """Return the description of a checkpoint as plain values, which JSON has too; for ``parse_description``."""
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


def parse_content(content: Any, path: Path) -> Description:
    """Return the description in the content of a checkpoint, which has weights and a training state beside it.

    Raises:
        DamagedError: the content is not that of a charlm checkpoint, or a value is missing or wrong.
        InputError: it has a format that this charlm cannot read.
    """
    if not isinstance(content, dict) or "format" not in content:
        raise DamagedError(f"{path}: this is not a charlm checkpoint. {REMEDY}")
    check_format(content, path)
    with explain_damage(path):
        description = parse_description(content, str(path))
        if not isinstance(content.get("weights"), dict) or not isinstance(content.get("training"), dict):
            raise ValueError("weights or training is missing or has a wrong type")
        return description


@contextmanager
def explain_damage(path: Path) -> Iterator[None]:
    """Raise what a wrong value in a checkpoint raises as a DamagedError."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, InputError) as error:
        reason = " ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        raise DamagedError(f"{path}: the checkpoint's content is damaged: {reason.rstrip('.')}. {REMEDY}") from None


def parse_description(content: dict[str, Any], name: str) -> Description:
    """Return the description whose plain values ``describe`` returned.

    Args:
        content: any values; those of other keys are ignored.
        name: name of the file in an error.

    Raises:
        ValueError, ConfigError: a value is missing, or has a wrong type or range.
    """
    _check_plain_types(content)
    config = parse_config(content["config"], name)
    vocabulary = Vocabulary.from_plain(content["vocabulary"])
    _check_plain_values(content, config.train.max_steps)
    digest, step, loss_nats = content["corpus_digest"], content["step"], content["loss_nats"]
    return Description(config, vocabulary, digest, step, loss_nats, content.get("garbage_frac"))


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


def _check_plain_types(content: dict[str, Any]) -> None:
    """Check the types of a checkpoint's values.

    Raises:
        ValueError: a value is missing, or has a wrong type.
    """
    for name, expected in PLAIN_TYPES.items():
        if name not in content:
            raise ValueError(f"{name} is missing")
        if not isinstance(content[name], expected) or isinstance(content[name], bool):
            raise ValueError(f"{name} has a wrong type")


def _check_plain_values(content: dict[str, Any], max_steps: int) -> None:
    """Check the ranges of a checkpoint's values.

    Raises:
        ValueError, KeyError: a value is missing or has a wrong range.
    """
    if not 0 <= content["step"] <= max_steps:
        raise ValueError(f"step {content['step']} is not one of a run of {max_steps} steps")
    loss = content["loss_nats"]
    if loss is not None and not (isinstance(loss, float) and 0 <= loss < math.inf):
        raise ValueError("loss_nats is not a finite number of at least 0")
    garbage_frac = content.get("garbage_frac")  # missing in older checkpoints
    if garbage_frac is not None and not (isinstance(garbage_frac, float) and 0 <= garbage_frac <= 1):
        raise ValueError("garbage_frac is not a number from 0 to 1")
