"""Event files of earlier processes: later events are deleted, and damage is no error."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from charlm.training.event_files import PREFIX, find_event_files, rewind_events


def write_steps(directory: Path, steps: range) -> Path:
    """Write an event file with a scalar at each step; return its path."""
    before = find_event_files(directory)
    writer = SummaryWriter(str(directory))
    for step in steps:
        writer.add_scalar("loss", 1.0, step)
    writer.close()
    [path] = set(find_event_files(directory)) - set(before)
    return path


def read_steps(path: Path) -> list[int]:
    """Return the steps of the scalar in a file or a directory."""
    events = EventAccumulator(str(path))
    events.Reload()
    return [point.step for point in events.Scalars("loss")]


def test_later_events_are_deleted(tmp_path: Path) -> None:
    """Events after the step are deleted in every file, and nothing else."""
    first = write_steps(tmp_path, range(1, 6))
    rewind_events(tmp_path, 5)
    [first] = find_event_files(tmp_path)
    before = first.read_bytes()
    write_steps(tmp_path, range(6, 9))
    rewind_events(tmp_path, 6)
    first, second = find_event_files(tmp_path)
    assert first.read_bytes() == before
    assert (read_steps(first), read_steps(second)) == ([1, 2, 3, 4, 5], [6])
    rewind_events(tmp_path, 2)
    assert read_steps(find_event_files(tmp_path)[0]) == [1, 2]


def cut(content: bytes) -> bytes:
    """Return all but the last 5 bytes."""
    return content[:-5]


def flip_length(content: bytes) -> bytes:
    """Return the content with a huge length in place of the first one."""
    return b"\xff" * 8 + content[8:]


def flip_event(content: bytes) -> bytes:
    """Return the content with a damaged first event."""
    return content[:12] + b"\xff" * 8 + content[20:]


@pytest.mark.parametrize("damage", [cut, flip_length, flip_event])
def test_damaged_file_is_no_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A damaged event file is read as far as possible, and not changed if no later event is found."""
    path = write_steps(tmp_path, range(1, 6))
    content = damage(path.read_bytes())
    path.write_bytes(content)
    rewind_events(tmp_path, 9)
    [path] = find_event_files(tmp_path)
    assert path.read_bytes() == content
    rewind_events(tmp_path, 3)
    assert (path.read_bytes() == content) == (damage is flip_length)


def test_other_things_are_ignored(tmp_path: Path) -> None:
    """A directory or a pipe with the name of an event file, and other files, are not read."""
    (tmp_path / "events.out.tfevents.1.d").mkdir()
    os.mkfifo(tmp_path / "events.out.tfevents.2.p")
    (tmp_path / "notes").write_text("x")
    rewind_events(tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_files_stay_in_order_when_the_clock_was_set_back(tmp_path: Path) -> None:
    """Files with a later time than now are renamed to earlier times in the same order; the others keep their names."""
    now_s = int(time.time())
    times_s = (now_s - 500, now_s + 100, now_s + 5000)
    for number, created_s in enumerate(times_s):
        (tmp_path / f"events.out.tfevents.{created_s}.host.{9 - number}.0").write_text(str(number))
    rewind_events(tmp_path, 1)
    paths = find_event_files(tmp_path)
    assert [path.read_text() for path in paths] == ["0", "1", "2"]
    assert paths[0].name == f"events.out.tfevents.{now_s - 500}.host.9.0"
    assert all(int(path.name.split(".")[3]) <= int(time.time()) - 1 for path in paths)


def test_linked_event_file_is_left_alone(tmp_path: Path) -> None:
    """A symbolic link that somebody planted is not taken for an event file, which is cut and renamed."""
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / f"{PREFIX}.1.host").symlink_to(tmp_path / "elsewhere")
    assert find_event_files(tmp_path) == []
