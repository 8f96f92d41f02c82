"""Safe reading of torch.save files: no code is executed, and memory use is bounded by about the size of the file.

``read_outline`` does without torch, whose import takes longer than a thousand outlines.
"""

import errno
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from charlm.errors import DamagedError, InputError, OutOfMemoryError
from charlm.runs.pickled import TensorOutline, read_pickle
from charlm.system.memory import explain_shortage

MAX_MEMBERS = 10_000
"""Maximum number of parts of a file: one per tensor; a model of 100 layers and its optimizer have under 2,000."""

MAX_VALUES = 100_000
"""Maximum number of values, counted where they are used; a model of 100 layers and its optimizer have under 5,000."""

MAX_DEPTH = 8
"""Maximum depth of values in values; charlm writes 5."""

REMEDY = "Give a run directory, or its best.pt or last.pt."
"""The remedy in errors about files that are not checkpoints."""


def read_archive(path: Path) -> Any:
    """Return the plain values and tensors of a file that was written by torch.save, on the CPU.

    Raises:
        DamagedError: the file has another format, is damaged, or is refused as unsafe.
        InputError: it does not exist, or the system cannot read it.
        OutOfMemoryError: it does not fit in memory.
    """
    import torch

    with _explained(path):
        with zipfile.ZipFile(path) as archive:
            _read_values(archive, path)
            damaged = archive.testzip()
        if damaged is not None:
            raise DamagedError(f"{path}: damaged, the checksum of {damaged!r} is wrong. Use another checkpoint.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
        _check_values(content, torch.Tensor)
    return content


def read_outline(path: Path) -> Any:
    """Return the plain values of a file that was written by torch.save, and the outlines of its tensors.

    The numbers of the tensors are neither read nor checked.

    Raises:
        DamagedError: the file has another format, is damaged, or is refused as unsafe.
        InputError: it does not exist, or the system cannot read it.
        OutOfMemoryError: it does not fit in memory.
    """
    with _explained(path), zipfile.ZipFile(path) as archive:
        return _read_values(archive, path)


def is_complete(path: Path) -> bool:
    """Return whether a file has the end of an archive; nothing else of it is read."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except OSError:
        return False


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise whatever the reading of a file raises as one of charlm's errors."""
    try:
        if path.exists() and not path.is_file():
            raise DamagedError(f"{path}: this is not a regular file. {REMEDY}")
        with explain_shortage():
            yield
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
    except Exception as error:  # the readers raise many exception types for malicious or damaged files
        reason = str(error).split("\n", 1)[0][:200]
        raise DamagedError(f"{path}: refused, this is not a safe charlm checkpoint ({reason}). {REMEDY}") from None


def _read_values(archive: zipfile.ZipFile, path: Path) -> Any:
    """Return the values of an archive with the outlines of its tensors, after a check of its parts.

    Raises:
        DamagedError: a part was not written by torch.save.
        Exception: the parts or the pickle are not those of a checkpoint.
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
    numbers = f"{pickles[0].filename.removesuffix('.pkl')}/"  # the folder with the numbers of the tensors
    part_bytes = {member.filename.removeprefix(numbers): member.file_size for member in members}
    values = read_pickle(archive.read(pickles[0]), part_bytes)
    _check_values(values, TensorOutline)
    return values


def _check_values(content: Any, tensor: type) -> None:
    """Check the number, the depth and the types of all values, so that any code may walk through them.

    A value that is used in several places counts in each, because a few nested lists can refer to each other so that
    walking through them takes for ever.

    Args:
        content: the values.
        tensor: the type of the tensors among them.

    Raises:
        ValueError: there are too many values, or one of another type.
    """
    plain_types = {str, float, bool, int, type(None), tensor}
    pending, num_values = [(content, 1)], 1
    while pending:
        value, depth = pending.pop()
        parts: list[Any] = []
        if isinstance(value, dict):
            parts = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            parts = [*value]
        elif type(value) not in plain_types:
            raise ValueError(f"it has a value of type {type(value).__name__}")
        num_values += len(parts)
        if num_values > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError(f"it has over {MAX_VALUES:,} values, or is nested more than {MAX_DEPTH} deep")
        pending += [(part, depth + 1) for part in parts]
