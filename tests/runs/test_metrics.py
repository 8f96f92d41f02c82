"""metrics.jsonl: rows are written, read, and rewound to a checkpoint; damage to a line loses no other row."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.errors import CharlmError, InputError
from charlm.runs import metrics
from charlm.runs.metrics import Row, append_row, read_rows, rewind, take_fingerprint


def make_row(step: int, split: str = "train") -> Row:
    """Return a row of a step."""
    numbers = {"loss_nats": 1.5, "bits_per_char": 2.0, "chars_per_s": 9.0, "learning_rate": 0.1, "elapsed_s": 0.5}
    return {"step": step, "split": split} | numbers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file with the rows of steps 10, 20, 30 and 40."""
    path = tmp_path / "metrics.jsonl"
    for step in (10, 20, 30, 40):
        append_row(path, make_row(step))
    return path


def steps(path: Path) -> list[int]:
    """Return the steps of the rows."""
    return [row["step"] for row in read_rows(path)]


def replace_line(path: Path, number: int, line: bytes) -> None:
    """Replace a line of a file, counted from 0."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = line
    path.write_bytes(b"".join(lines))


DAMAGED_LINES = {
    "blank": b"\n",
    "flipped byte": json.dumps(make_row(20)).encode().replace(b"{", b"k") + b"\n",
    "flipped byte in a name": json.dumps(make_row(20)).encode().replace(b"loss_nats", b"loss_nat3") + b"\n",
    "invalid UTF-8": json.dumps(make_row(20)).encode().replace(b"train", b"tr\xffin") + b"\n",
    "cut": b'{"step": 2\n',
    "joined": b'{"step": 2' + json.dumps(make_row(20)).encode() + b"\n",
    "another value": b"[1]\n",
    "unknown split": json.dumps(make_row(20, "treat")).encode() + b"\n",
    "deep": b"[" * 100_000 + b"\n",
    "not a number": json.dumps(make_row(20) | {"loss_nats": float("nan")}).encode() + b"\n",
    "huge number": json.dumps(make_row(20)).replace("1.5", "1" + "0" * 400).encode() + b"\n",
    "text for a number": json.dumps(make_row(20) | {"elapsed_s": "0.5"}).encode() + b"\n",
    "negative step": json.dumps(make_row(-20)).encode() + b"\n",
    "huge step": json.dumps(make_row(2**63)).encode() + b"\n",
}


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("line", DAMAGED_LINES.values(), ids=DAMAGED_LINES)
def test_rows_after_a_damaged_line_are_kept(path: Path, line: bytes, is_recorded: bool) -> None:
    """A damaged line in the middle costs that row only; the damaged file is kept and named in one line."""
    recorded = take_fingerprint(path) if is_recorded else None
    replace_line(path, 1, line)
    damaged = path.read_bytes()
    assert steps(path) == [10, 30, 40]
    assert rewind(path, 30, recorded) == (
        f"{path}: damaged. It was renamed to metrics.jsonl.damaged; 2 readable rows up to step 30 are kept."
    )
    assert steps(path) == [10, 30]
    assert path.with_name("metrics.jsonl.damaged").read_bytes() == damaged


def test_a_changed_figure_is_found(path: Path) -> None:
    """A flipped byte that leaves a valid row is found by the checksum in the checkpoint."""
    recorded = take_fingerprint(path)
    path.write_bytes(path.read_bytes().replace(b"1.5", b"1.7", 1))
    assert "damaged. It was renamed" in str(rewind(path, 40, recorded))
    assert steps(path) == [10, 20, 30, 40]


@pytest.mark.parametrize("tail", [b"", b'{"step": 4', b"\xff\n", b"\n"], ids=["none", "cut", "invalid", "blank"])
def test_rows_after_the_checkpoint_are_deleted(path: Path, tail: bytes) -> None:
    """What was written after the checkpoint is deleted, whatever it is, and the rest is unchanged to the byte."""
    recorded = take_fingerprint(path)
    before = path.read_bytes()
    append_row(path, make_row(50))
    path.write_bytes(path.read_bytes() + tail)
    assert rewind(path, 40, recorded) is None
    assert path.read_bytes() == before


def test_an_older_checkpoint_records_nothing(path: Path) -> None:
    """Rows up to the step are kept, and an incomplete last line is no damage."""
    path.write_bytes(path.read_bytes() + b'{"step": 4')
    assert rewind(path, 20, None) is None
    assert steps(path) == [10, 20]
    assert [entry.name for entry in path.parent.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize("is_recorded", [True, False])
def test_missing_metrics(tmp_path: Path, is_recorded: bool) -> None:
    """A file that a checkpoint recorded and that is missing is reported; otherwise there was none."""
    path = tmp_path / "metrics.jsonl"
    problem = rewind(path, 7, {"num_bytes": 9, "crc32": 1} if is_recorded else None)
    assert problem == (f"{path}: missing. The rows up to step 7 are lost." if is_recorded else None)
    assert rewind(path, 0, take_fingerprint(path)) is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_something_else_in_place_of_the_file(path: Path, make: Callable[[Path], None]) -> None:
    """A directory or a named pipe has no rows, and is renamed without reading it."""
    recorded = take_fingerprint(path)
    path.unlink()
    make(path)
    assert read_rows(path) == []
    assert take_fingerprint(path) == {"num_bytes": 0, "crc32": 0}
    assert "renamed to metrics.jsonl.damaged" in str(rewind(path, 40, recorded))
    assert path.read_bytes() == b""


def test_metrics_that_do_not_fit_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gigabytes is refused before it is read, and cut without reading more than was recorded."""
    recorded = take_fingerprint(path)
    monkeypatch.setattr(metrics, "MAX_BYTES", path.stat().st_size)
    assert steps(path) == [10, 20, 30, 40]
    os.truncate(path, 2**40)  # a sparse file
    for read in (read_rows, lambda path: rewind(path, 10, None)):
        with pytest.raises(InputError, match="too large for metrics"):
            read(path)
    assert rewind(path, 40, recorded) is None
    assert steps(path) == [10, 20, 30, 40]


def test_earlier_damaged_files_are_kept(path: Path) -> None:
    """A second damaged file does not replace the first one."""
    for number in (1, 2):
        path.write_bytes(b"damaged %d\n" % number)
        rewind(path, 10, None)
    assert path.with_name("metrics.jsonl.damaged").read_bytes() == b"damaged 1\n"
    assert path.with_name("metrics.jsonl.damaged-2").read_bytes() == b"damaged 2\n"


def test_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    """A missing directory, like a full disk, is a failure of the run."""
    with pytest.raises(CharlmError, match="cannot be written"):
        append_row(tmp_path / "missing" / "metrics.jsonl", make_row(1))


def test_metrics_are_on_the_disk_before_the_checkpoint_records_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is flushed before its checksum is taken."""
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    take_fingerprint(path)
    assert flushed == [path.stat().st_ino]


def test_planted_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the place of the file is refused, and what it points to stays as it is."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(CharlmError, match="symbolic links"):
        append_row(tmp_path / "metrics.jsonl", {"step": 1})
    assert (tmp_path / "precious").read_bytes() == b"precious"
