"""The event files that earlier processes of a run wrote for TensorBoard."""

import os
import struct
import time
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event

PREFIX = "events.out.tfevents"
"""Prefix of the name of an event file; the time of its creation in seconds, the host and the process follow."""

HEADER = struct.Struct("<QI")
"""Before each event: its length in bytes, and a checksum of the length."""

FOOTER_BYTES = 4
"""Length of the checksum after each event."""


def find_event_files(directory: Path) -> list[Path]:
    """Return the event files of a directory in the order in which TensorBoard reads them; links are left out."""
    return sorted(path for path in directory.glob(f"{PREFIX}.*") if path.is_file() and not path.is_symlink())


def rewind_events(directory: Path, step: int) -> None:
    """Delete the events after a step, which will be written again, and let a new event file be the last one.

    TensorBoard itself hides repeated steps of scalars only, and reads files in the order of the times in their names.

    Args:
        directory: the run directory.
        step: the step from which the run resumes.

    Raises:
        OSError: a file cannot be read or written.
    """
    paths = find_event_files(directory)
    for place, path in enumerate(paths):
        end = _find_later_event(path, step)
        if end is not None:
            os.truncate(path, end)
        _limit_time(path, int(time.time()) - len(paths) + place)


def _find_later_event(path: Path, step: int) -> int | None:
    """Return where the first event after a step begins, in bytes; None if there is none.

    The process that wrote the file wrote no earlier step after it.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        while len(header := stream.read(HEADER.size)) == HEADER.size:
            length, _ = HEADER.unpack(header)
            start = stream.tell() - HEADER.size
            if length > size - start:  # incomplete or damaged: no reader finds the events that follow
                return None
            content = stream.read(length + FOOTER_BYTES)[:length]
            try:
                event = Event.FromString(content)
            except DecodeError:
                continue
            if event.HasField("summary") and event.step > step:
                return start
    return None


def _limit_time(path: Path, latest_s: int) -> None:
    """Rename an event file whose name has a later time, because the clock was set back or a second has not passed."""
    created_s, _, rest = path.name.removeprefix(f"{PREFIX}.").partition(".")
    if created_s.isdecimal() and int(created_s) > latest_s:
        path.rename(path.with_name(f"{PREFIX}.{latest_s}.{rest}"))
