"""Checkpoints: one self-contained file each, written atomically, read without trust."""

import io
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from charlm.atomic import write_atomically
from charlm.config import Config, parse_config
from charlm.errors import ConfigError, InputError
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

FORMAT = 1
"""Raised when an older charlm could not read what is written."""


@dataclass
class Checkpoint:
    """A model at one moment of a run.

    Attributes:
        config: the run's configuration.
        vocabulary: its symbols.
        corpus_digest: of the text that it learns from.
        step: optimizer steps taken.
        loss_nats: validation loss when it was saved, nats per character; None before the first validation.
        weights: the model's state dict.
        training: what resuming needs besides; empty in ``best.pt``.
    """

    config: Config
    vocabulary: Vocabulary
    corpus_digest: str
    step: int
    loss_nats: float | None
    weights: dict[str, Tensor]
    training: dict[str, Any] = field(default_factory=dict)

    def build_model(self, device: torch.device, kernel: str = "auto") -> CharLM:
        """Return the model with these weights, in evaluation mode.

        Raises:
            InputError: the weights do not fit the configuration.
        """
        model = CharLM(len(self.vocabulary), **self.config.model.model_dump(), kernel=kernel)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"the checkpoint's weights do not fit its own configuration: {reason}") from None
        return model.to(device).eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path, former: Sequence[Path] = ()) -> None:
    """Write a checkpoint; at every moment the file is the old one or the new one, whole.

    Args:
        checkpoint: what to write.
        path: the file.
        former: names under which the checkpoints before are kept, the newest first.

    Raises:
        CharlmError: the disk is full or not writable; the old file stands.
    """
    content = {
        "format": FORMAT,
        "config": checkpoint.config.model_dump(),
        "vocabulary": checkpoint.vocabulary.to_plain(),
        "corpus_digest": checkpoint.corpus_digest,
        "step": checkpoint.step,
        "loss_nats": checkpoint.loss_nats,
        "weights": checkpoint.weights,
        "training": checkpoint.training,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer(), former)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU. Nothing in the file is executed, whatever it holds.

    Raises:
        InputError: the file is not there, is no charlm checkpoint, is damaged, or is refused as unsafe.
    """
    content = _read(path)
    if not isinstance(content, dict) or "format" not in content:
        raise InputError(f"{path}: this is no charlm checkpoint. {_REMEDY}")
    if content["format"] != FORMAT:
        raise InputError(
            f"{path}: written in format {content['format']!r}, and this charlm reads {FORMAT}. Upgrade it."
        )
    try:
        return Checkpoint(
            parse_config(content["config"], str(path)),
            Vocabulary.from_plain(content["vocabulary"]),
            content["corpus_digest"],
            content["step"],
            content["loss_nats"],
            content["weights"],
            content["training"],
        )
    except (KeyError, ValueError, TypeError, AttributeError, ConfigError) as error:
        raise InputError(f"{path}: the checkpoint's content is damaged: {error}. {_REMEDY}") from None


_REMEDY = "Give a run directory, or its best.pt or last.pt."


def _read(path: Path) -> Any:
    """Return the plain values and tensors of a file that torch has saved."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise InputError(f"{path}: this is no charlm checkpoint, its parts are compressed. {_REMEDY}")
            damaged = archive.testzip()
        if damaged is not None:
            raise InputError(f"{path}: damaged, the checksum of {damaged} is wrong. Take another checkpoint.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint. {_REMEDY}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except zipfile.BadZipFile:
        raise InputError(f"{path}: this is no whole charlm checkpoint: cut short, or another file. {_REMEDY}") from None
    except Exception as error:  # torch's reader raises whatever a hostile or damaged file provokes
        reason = str(error).split("\n", 1)[0]
        raise InputError(f"{path}: refused, this is no safe charlm checkpoint ({reason}). {_REMEDY}") from None


def find_checkpoint(run: Path) -> Path:
    """Return the checkpoint that a run directory or a checkpoint file stands for; the best one of a directory.

    Raises:
        InputError: there is none.
    """
    if not run.is_dir():
        return run
    for name in ("best.pt", "last.pt"):
        if (run / name).is_file():
            return run / name
    raise InputError(f"{run}: this directory holds no checkpoint (best.pt or last.pt). Train into it with --out {run}.")
