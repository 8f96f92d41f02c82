"""Ways to damage a file of a run directory, for scripts/torture_directory.py."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, Path, random.Random], None]


def remove(path: Path, _other: Path, _rng: random.Random) -> None:
    """Delete a file or a directory."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def flip(path: Path, _other: Path, rng: random.Random) -> None:
    """Flip a few bits."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 4]) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(path: Path, _other: Path, rng: random.Random) -> None:
    """Remove the end, or a range in the middle."""
    data = path.read_bytes()
    start = rng.randrange(len(data) + 1)
    path.write_bytes(data[:start] + data[start + rng.choice([1, 30, len(data)]) :])


def overwrite(path: Path, _other: Path, rng: random.Random) -> None:
    """Overwrite a range with random bytes, line breaks or zeros."""
    data = path.read_bytes()
    start = rng.randrange(len(data) + 1)
    path.write_bytes(data[:start] + rng.choice([rng.randbytes(40), b"\n", bytes(512)]) + data[start + 40 :])


def empty(path: Path, _other: Path, _rng: random.Random) -> None:
    """Keep nothing of a file."""
    path.write_bytes(b"")


def swap(path: Path, other: Path, _rng: random.Random) -> None:
    """Replace a file by that of another run."""
    path.write_bytes(other.read_bytes())


def mix_up(path: Path, _other: Path, rng: random.Random) -> None:
    """Replace a file by another file of the same run."""
    others = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
    path.write_bytes(rng.choice(others or [path]).read_bytes())


def replace_by_directory(path: Path, _other: Path, rng: random.Random) -> None:
    """Put a directory in the place of a file, empty or not."""
    path.unlink()
    path.mkdir()
    if rng.random() < 0.5:
        (path / "notes").write_text("x")


def replace_by_pipe(path: Path, _other: Path, _rng: random.Random) -> None:
    """Put a named pipe in the place of a file."""
    path.unlink()
    os.mkfifo(path)


FILE_DAMAGES: tuple[Damage, ...] = (
    remove, flip, flip, cut, cut, overwrite, empty, swap, mix_up, replace_by_directory, replace_by_pipe
)  # fmt: skip
