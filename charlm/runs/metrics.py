"""metrics.jsonl: one JSON object a line for every loss that was logged; damage to one line does not lose others."""

import json
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charlm.errors import InputError
from charlm.system.files import cannot_write, open_for_writing, set_aside, write_atomically

Row = dict[str, Any]
"""One line of metrics.jsonl: ``step``, ``split``, ``loss_nats``, ``bits_per_char``, and more by split."""

Fingerprint = dict[str, int]
"""Length and checksum of the file at a checkpoint: ``num_bytes`` and ``crc32``."""

MAX_BYTES = 1 << 28
"""Size above which the rows are not read: over a million rows. More would not fit in memory."""

CHUNK_BYTES = 1 << 20

NUMBERS = ("loss_nats", "bits_per_char", "chars_per_s", "learning_rate", "elapsed_s")
"""What every row has."""

MAX_STEP = 2**63
"""Upper bound of the number of steps, exclusive."""


def append_row(path: Path, row: Row) -> None:
    """Add a line.

    Raises:
        CharlmError: it cannot be written.
    """
    try:
        with open_for_writing(path, "ab") as stream:
            stream.write(json.dumps(row).encode() + b"\n")
    except OSError as error:
        raise cannot_write(path, error) from None


def read_rows(path: Path) -> list[Row]:
    """Return the rows of all undamaged lines; none if there is no file.

    Raises:
        InputError: the file cannot be read, or is too large.
    """
    return [row for _, row in _read_lines(path) if row is not None] if path.is_file() else []


def take_fingerprint(path: Path) -> Fingerprint:
    """Flush the file to the disk, and return its length and checksum; those of an empty file if there is none.

    Raises:
        CharlmError: it cannot be read or flushed.
    """
    if not path.is_file():
        return {"num_bytes": 0, "crc32": 0}
    try:
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
        num_bytes = path.stat().st_size
        return {"num_bytes": num_bytes, "crc32": _checksum(path, num_bytes)}
    except OSError as error:
        raise cannot_write(path, error) from None


def rewind(path: Path, step: int, recorded: Fingerprint | None) -> str | None:
    """Delete the rows after a step, which will be logged again. A damaged file is renamed, and its other rows are kept.

    Args:
        path: the file; it need not exist.
        step: the step of a checkpoint.
        recorded: what the checkpoint says about the file; None if it says nothing.

    Returns:
        What was damaged and what was done about it; None if nothing was.

    Raises:
        InputError: the file cannot be read, or is damaged and too large to be read.
        CharlmError: it cannot be written.
    """
    if not os.path.lexists(path):
        is_lost = recorded is not None and recorded["num_bytes"] > 0
        return f"{path}: missing. The rows up to step {step} are lost." if is_lost else None
    if _is_as_recorded(path, recorded):
        return None
    lines = list(_read_lines(path)) if path.is_file() else []
    kept = b"".join(line for line, row in lines if row is not None and row["step"] <= step)
    is_complete = path.is_file() and all(row is not None or not line.endswith(b"\n") for line, row in lines)
    if recorded is None and is_complete:  # only the last line is incomplete: the process died while it wrote it
        write_atomically(path, kept)
        return None
    renamed = set_aside(path)
    write_atomically(path, kept)
    num_rows = kept.count(b"\n")
    return f"{path}: damaged. It was renamed to {renamed.name}; {num_rows} readable rows up to step {step} are kept."


def _is_as_recorded(path: Path, recorded: Fingerprint | None) -> bool:
    """Return whether the file begins with what a checkpoint recorded; if so, delete the rest."""
    if recorded is None or not path.is_file():
        return False
    try:
        num_bytes = recorded["num_bytes"]
        if path.stat().st_size < num_bytes or _checksum(path, num_bytes) != recorded["crc32"]:
            return False
        os.truncate(path, num_bytes)
        return True
    except OSError as error:
        raise cannot_write(path, error) from None


def _checksum(path: Path, num_bytes: int) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while num_bytes > 0 and (chunk := stream.read(min(num_bytes, CHUNK_BYTES))):
            checksum = zlib.crc32(chunk, checksum)
            num_bytes -= len(chunk)
    return checksum


def _read_lines(path: Path) -> Iterator[tuple[bytes, Row | None]]:
    """Yield each line of the file, and its row or None if it is damaged."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: too large for metrics, of which charlm reads {MAX_BYTES:,} bytes. Move it away.")
        with path.open("rb") as stream:
            for line in stream:
                yield line, _parse(line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from None


def _parse(line: bytes) -> Row | None:
    """Return the row of a line; None if it is damaged."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not line.endswith(b"\n") or not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    numbers: list[Any] = [row.get(name) for name in NUMBERS]
    is_row = (
        0 <= row["step"] < MAX_STEP
        and row.get("split") in ("train", "val")
        and all(type(number) in (int, float) and abs(number) <= sys.float_info.max for number in numbers)
    )
    return row if is_row else None
