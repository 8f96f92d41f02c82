"""Safe reading of torch.save files: no code is executed, and memory use is bounded by about the size of the file."""

import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from charlm.errors import InputError

MAX_MEMBERS = 10_000
"""Maximum number of parts of a file: one per tensor; a model of 100 layers and its optimizer have under 2,000."""

ALLOWED_GLOBALS = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch [A-Z][A-Za-z0-9]*Storage")
"""The globals that a checkpoint may reference. Torch allows more, such as a bytearray of any size."""

REMEDY = "Give a run directory, or its best.pt or last.pt."
"""The remedy in errors about files that are not checkpoints."""


def read_archive(path: Path) -> Any:
    """Return the plain values and tensors of a file that was written by torch.save, on the CPU.

    Raises:
        InputError: the file does not exist, has another format, is damaged, or is refused as unsafe.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: this is not a regular file. {REMEDY}")
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint. {REMEDY}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except zipfile.BadZipFile:
        raise InputError(
            f"{path}: this is not a complete charlm checkpoint: truncated, or another kind of file. {REMEDY}"
        ) from None
    except Exception as error:  # torch's reader raises many exception types for malicious or damaged files
        reason = str(error).split("\n", 1)[0][:200]
        raise InputError(f"{path}: refused, this is not a safe charlm checkpoint ({reason}). {REMEDY}") from None


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Check the sizes and checksums of the parts, and the globals that the pickle references.

    Raises:
        InputError: a part is damaged, or was not written by torch.save.
        ValueError: the pickle is invalid, or references a global that is not allowed.
    """
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(f"{path}: this is not a charlm checkpoint, its parts are compressed. {REMEDY}")
    if len(members) > MAX_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError("too many parts, or two with the same name")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its parts claim to be larger than the file")
    damaged = archive.testzip()
    if damaged is not None:
        raise InputError(f"{path}: damaged, the checksum of {damaged!r} is wrong. Use another checkpoint.")
    for member in members:
        if member.filename.endswith(".pkl"):
            _check_globals(archive.read(member))


def _check_globals(pickle: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"} or (
            opcode.name == "GLOBAL" and not ALLOWED_GLOBALS.fullmatch(str(argument))
        ):
            raise ValueError(f"it names {str(argument)[:80]!r}")
