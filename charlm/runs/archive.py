"""Reading a file of torch.save without trust: nothing is executed, and little more memory is taken than it is long."""

import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from charlm.errors import InputError

MAX_MEMBERS = 10_000
"""Parts of a file, at most: each tensor is one, and a model of 100 layers has under 2,000 with its optimizer."""

ALLOWED_GLOBALS = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch [A-Z][A-Za-z0-9]*Storage")
"""What a checkpoint names. Torch allows more, a bytearray of any size among it."""

REMEDY = "Give a run directory, or its best.pt or last.pt."
"""What to do where a file is no checkpoint."""


def read_archive(path: Path) -> Any:
    """Return the plain values and tensors of a file that torch has saved, on the CPU.

    Raises:
        InputError: the file is not there, is no such file, is damaged, or is refused as unsafe.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: this is no regular file. {REMEDY}")
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
        raise InputError(f"{path}: this is no whole charlm checkpoint: cut short, or another file. {REMEDY}") from None
    except Exception as error:  # torch's reader raises whatever a hostile or damaged file provokes
        reason = str(error).split("\n", 1)[0][:200]
        raise InputError(f"{path}: refused, this is no safe charlm checkpoint ({reason}). {REMEDY}") from None


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Check the parts' sizes and checksums, and the names that the pickle among them calls.

    Raises:
        InputError: a part is damaged, or is not as torch.save writes it.
        ValueError: the pickle is none, or names something that a checkpoint does not hold.
    """
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(f"{path}: this is no charlm checkpoint, its parts are compressed. {REMEDY}")
    if len(members) > MAX_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError("too many parts, or two of one name")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its parts claim more than the file holds")
    damaged = archive.testzip()
    if damaged is not None:
        raise InputError(f"{path}: damaged, the checksum of {damaged!r} is wrong. Take another checkpoint.")
    for member in members:
        if member.filename.endswith(".pkl"):
            _check_globals(archive.read(member))


def _check_globals(pickle: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"} or (
            opcode.name == "GLOBAL" and not ALLOWED_GLOBALS.fullmatch(str(argument))
        ):
            raise ValueError(f"it names {str(argument)[:80]!r}")
