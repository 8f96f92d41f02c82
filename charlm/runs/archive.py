"""Safe reading of torch.save files: no code is executed, and memory use is bounded by about the size of the file."""

import errno
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from charlm.errors import DamagedError, InputError, OutOfMemoryError
from charlm.system.memory import explain_shortage

MAX_MEMBERS = 10_000
"""Maximum number of parts of a file: one per tensor; a model of 100 layers and its optimizer have under 2,000."""

MAX_OPERATIONS = 1_000_000
"""Maximum number of operations of the pickle: some 20 for each tensor."""

MAX_VALUES = 100_000
"""Maximum number of values, counted where they are used; a model of 100 layers and its optimizer have under 5,000."""

MAX_DEPTH = 8
"""Maximum depth of values in values; charlm writes 5."""

PLAIN_TYPES = (str, float, bool, type(None), torch.Tensor)

ALLOWED_GLOBALS = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch [A-Z][A-Za-z0-9]*Storage")
"""The globals that a checkpoint may reference. Torch allows more, such as a bytearray of any size."""

REMEDY = "Give a run directory, or its best.pt or last.pt."
"""The remedy in errors about files that are not checkpoints."""


def read_archive(path: Path, reads_tensors: bool = True) -> Any:
    """Return the plain values and tensors of a file that was written by torch.save, on the CPU.

    Args:
        path: the file.
        reads_tensors: False leaves the tensors in the file, unread and unchecked: only their shapes may be used.

    Raises:
        DamagedError: the file has another format, is damaged, or is refused as unsafe.
        InputError: it does not exist, or the system cannot read it.
        OutOfMemoryError: it does not fit in memory.
    """
    try:
        if path.exists() and not path.is_file():
            raise DamagedError(f"{path}: this is not a regular file. {REMEDY}")
        with explain_shortage():
            return _read(path, reads_tensors)
    except (InputError, OutOfMemoryError):
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint. {REMEDY}") from None
    except OSError as error:
        is_damaged = error.errno == errno.EINVAL  # a position that the damaged file claims
        kind = DamagedError if is_damaged else InputError
        raise kind(f"{path}: cannot be read: {error.strerror or error}.") from None
    except zipfile.BadZipFile:
        raise DamagedError(
            f"{path}: this is not a complete charlm checkpoint: truncated, or another kind of file. {REMEDY}"
        ) from None
    except Exception as error:  # torch's reader raises many exception types for malicious or damaged files
        reason = str(error).split("\n", 1)[0][:200]
        raise DamagedError(f"{path}: refused, this is not a safe charlm checkpoint ({reason}). {REMEDY}") from None


def is_complete(path: Path) -> bool:
    """Return whether a file has the end of an archive; nothing else of it is read."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except OSError:
        return False


def _read(path: Path, reads_tensors: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        _check_members(archive, path)
        damaged = archive.testzip() if reads_tensors else None
        if damaged is not None:
            raise DamagedError(f"{path}: damaged, the checksum of {damaged!r} is wrong. Use another checkpoint.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=not reads_tensors)
    _check_values(content)
    return content


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Check the sizes of the parts, and the globals that the pickle references.

    Raises:
        DamagedError: a part was not written by torch.save.
        ValueError: the pickle is invalid, or references a global that is not allowed.
    """
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise DamagedError(f"{path}: this is not a charlm checkpoint, its parts are compressed. {REMEDY}")
    if len(members) > MAX_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError("too many parts, or two with the same name")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its parts claim to be larger than the file")
    pickles = [member for member in members if member.filename.endswith(".pkl")]
    if len(pickles) != 1:
        raise ValueError(f"it has {len(pickles)} pickles instead of 1")
    _check_operations(archive.read(pickles[0]))


def _check_operations(pickle: bytes) -> None:
    for number, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
        if number == MAX_OPERATIONS:
            raise ValueError(f"its pickle has over {MAX_OPERATIONS:,} operations")
        if opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"} or (
            opcode.name == "GLOBAL" and not ALLOWED_GLOBALS.fullmatch(str(argument))
        ):
            raise ValueError(f"it names {str(argument)[:80]!r}")


def _check_values(content: Any) -> None:
    """Check the number, the depth and the types of all values, so that any code may walk through them.

    A value that is used in several places counts in each, because a few nested lists can refer to each other so that
    walking through them takes for ever.

    Raises:
        ValueError: there are too many values, or one of another type or beyond 64 bits.
    """
    pending, num_values = [(content, 1)], 1
    while pending:
        value, depth = pending.pop()
        parts: list[Any] = []
        if isinstance(value, dict):
            parts = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            parts = [*value]
        elif type(value) is int:
            if not -(2**63) <= value < 2**64:
                raise ValueError("it has a whole number beyond 64 bits")
        elif type(value) not in PLAIN_TYPES:
            raise ValueError(f"it has a value of type {type(value).__name__}")
        num_values += len(parts)
        if num_values > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError(f"it has over {MAX_VALUES:,} values, or is nested more than {MAX_DEPTH} deep")
        pending += [(part, depth + 1) for part in parts]
