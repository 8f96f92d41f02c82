#!/usr/bin/env python3
"""Simulate a power failure at every moment of a training run, and check what charlm makes of each disk that is left.

strace (of Linux) records the system calls of a run that stores a kernel library, encodes a corpus and trains. A model
replays them, and after each call makes the disks that a power failure may leave. On each of them the library and the
corpus must be intact or missing, and the newest save must load and be no older than the last one that was reported.
On some of them the run is also resumed, and must end like one that was not interrupted.
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
from disk_model import CALLS, Content, Disk
from torture_resume import CONFIG, TEXT, is_equal, read_result

from charlm.inference.trained import load
from charlm.lstm.kernels import store
from charlm.runs.checkpoint import load_checkpoint
from charlm.text.corpus import load_corpus

LIBRARY = bytes(range(256)) * 100

NO_SAVE = -1
"""The step of the last save where there is none."""

PROGRAM = f"""
import sys
from charlm import cli
from charlm.lstm.kernels import store
store.write_library("library", {LIBRARY!r})
sys.exit(cli.run(["train", sys.argv[1], "--out", sys.argv[2], "--resume"]))
"""


@dataclass
class Tally:
    """Counts over all moments.

    Attributes:
        calls: system calls that changed the disk or flushed a part of it.
        disks: different disks that were checked.
        resumed: disks on which the run was resumed to its end.
        problems: what was wrong, at which call.
    """

    calls: int = 0
    disks: int = 0
    resumed: int = 0
    problems: list[str] = field(default_factory=list)


def record(root: Path, config: Path) -> Iterator[str]:
    """Run the program below a directory and yield its system calls in the order in which they ended."""
    trace = config.with_name("trace")
    options = ["-f", "-y", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    environment = os.environ | {"CHARLM_CACHE_DIR": str(root / "cache"), "OMP_NUM_THREADS": "1"}
    command = ["strace", *options, sys.executable, "-c", PROGRAM, str(config), str(root / "run")]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            process, _, call = line.rstrip("\n").partition(" ")
            call = call.lstrip()
            if call.endswith(" <unfinished ...>"):
                begun[process] = call.removesuffix(" <unfinished ...>")
            elif call.startswith("<... "):
                yield begun.pop(process) + call.partition(" resumed>")[2]
            else:
                yield call


def write_out(content: Content, root: Path) -> None:
    """Create the files of a disk."""
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            (root / name).mkdir(exist_ok=True)
        else:
            (root / name).write_bytes(data)
    if (kernels := root / "cache" / "kernels").exists():
        kernels.chmod(0o700)
        for library in kernels.glob("*.so"):
            library.chmod(0o600)


def check(root: Path, text: Path, reported: int) -> None:
    """Check what charlm reads from a disk.

    Args:
        root: the directory with the run and the cache.
        text: the text that was encoded.
        reported: step of the last save that was reported as written; NO_SAVE for none.

    Raises:
        AssertionError, CharlmError, Warning: something is damaged or lost.
    """
    if store.read_library("library") not in (None, LIBRARY):
        raise AssertionError("the library has another content")
    corpus = load_corpus(str(text), "char")
    if corpus.vocabulary.decode(corpus.ids.long()) != text.read_text(encoding="utf-8"):
        raise AssertionError("the encoded corpus is another text")
    saves = [path for name in ("last.pt", "last-1.pt") if (path := root / "run" / name).exists()]
    steps = [load_checkpoint(path).step for path in saves]
    if max(steps, default=NO_SAVE) < reported:
        raise AssertionError(f"step {reported} was saved, but the newest save has step {max(steps, default=NO_SAVE)}")
    if saves:
        load(root / "run").sample(length=3, seed=1)


def simulate(folder: Path, steps: int, resume_every: int) -> Tally:
    """Record a run in a folder, and check the disks that are left at every moment; resume on every N-th one."""
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    config = folder / "config.yaml"
    settings = CONFIG.format(path=folder / "text.txt", steps=steps)
    settings = settings.replace("device: cpu", "device: cpu, kernel: reference")
    config.write_text(settings, encoding="utf-8")
    root = folder / "disk"
    root.mkdir()
    disk, tally = Disk(root), Tally()
    seen: set[int] = set()
    reported = NO_SAVE
    calls = list(record(root, config))
    expected = read_result(root / "run")
    for call in calls:
        if not disk.replay(call):
            continue
        tally.calls += 1
        for content in disk.leftovers():
            if (key := hash((frozenset(content.items()), reported))) in seen:
                continue
            seen.add(key)
            tally.disks += 1
            is_resumed = tally.disks % resume_every == 0
            tally.resumed += is_resumed
            if problem := find_problem(
                content, folder / "text.txt", reported, config if is_resumed else None, expected
            ):
                tally.problems.append(f"call {tally.calls}, {call[:60]}: {problem}")
        reported = max(reported, find_reported(disk, call, folder))
    return tally


def find_reported(disk: Disk, call: str, folder: Path) -> int:
    """Return the step of last.pt if a call flushed its name, after which the save counts as written; else NO_SAVE."""
    run = disk.top.names.get("run")
    if run is None or not call.startswith("fsync") or run.changes or "last.pt" not in run.flushed_names:
        return NO_SAVE
    (folder / "reported.pt").write_bytes(run.flushed_names["last.pt"].flushed)
    return load_checkpoint(folder / "reported.pt").step


def find_problem(content: Content, text: Path, reported: int, config: Path | None, expected: object) -> str:
    """Return what is wrong with a disk; an empty text if nothing is."""
    with tempfile.TemporaryDirectory(dir=text.parent) as directory, warnings.catch_warnings():
        warnings.simplefilter("error")
        root = Path(directory)
        write_out(content, root)
        os.environ["CHARLM_CACHE_DIR"] = str(root / "cache")
        try:
            check(root, text, reported)
            if config is not None:
                command = [sys.executable, "-m", "charlm", "train", str(config), "--out", str(root / "run"), "--resume"]
                subprocess.run(command, check=True, capture_output=True)
                if not is_equal(read_result(root / "run"), expected):
                    return "the resumed run has another result"
        except Exception as error:
            return f"{type(error).__name__}: {error}".replace(directory, "")
    return ""


@click.command(help=__doc__)
@click.option("--steps", default=12, show_default=True, help="Training steps of the run.")
@click.option("--resume-every", default=20, show_default=True, help="Resume the run on every N-th disk.")
def main(steps: int, resume_every: int) -> None:
    """Print the counts."""
    with tempfile.TemporaryDirectory() as folder:
        tally = simulate(Path(folder), steps, resume_every)
    for problem in tally.problems[:20]:
        click.echo(problem, err=True)
    click.echo(
        f"{tally.calls} calls left {tally.disks} different disks; on {tally.resumed} the run was resumed to its end; "
        f"{len(tally.problems)} problems"
    )
    sys.exit(1 if tally.problems else 0)


if __name__ == "__main__":
    main()
