#!/usr/bin/env python3
"""Damage the files of run directories at random, run commands on them, and check that nothing is lost in silence.

Each case is a copy of the directory of an interrupted run in which one or two files are damaged. `train --resume`,
`sample` or `eval` then runs in this process, and must end in one of these ways:

- same: exit status 0 and the same result as with undamaged files;
- repaired: exit status 0, and a warning says what was damaged. A resumed run still ends with the same weights;
- refused: exit status 1 or 2 with one message and no traceback.

In no case may an undamaged best model be lost, or the content of a damaged one.
"""

import contextlib
import io
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from damages import FILE_DAMAGES, remove
from torture_resume import CONFIG, TEXT, is_equal, without_times

from charlm.cli import run as run_command
from charlm.cli.progress import make_reporter
from charlm.config import load_config
from charlm.errors import InputError
from charlm.runs.checkpoint import load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.training.loop import train
from charlm.training.reporter import Reporter, Reporters

MAX_CASE_S = 60
"""Time after which a command counts as hanging."""

KILLED_STEP = 46
"""The step at which the run is interrupted: after a validation at step 40 and a save at step 44."""

STEPS = 60

EVENTS = "events.out.tfevents.1700000000.host.1.0"

FILES = [
    "config.yaml", "best.pt", "last.pt", "last-1.pt", "metrics.jsonl", "samples", "samples/step-0000040.txt", EVENTS,
    ".lock", ".lock.pid",
]  # fmt: skip

COMMANDS: dict[str, list[str]] = {
    "train": ["train", "--resume", "--out"],
    "sample": ["sample", "--seed", "1", "--length", "30"],
    "eval": ["eval", "--json"],
}


@dataclass(frozen=True)
class Originals:
    """The directories that cases are copied from and compared with, and the outputs of the commands.

    Attributes:
        interrupted: a run that was killed.
        other: a run with another seed, killed at the same step.
        expected: the result of the resumed run without damage.
        outputs: standard output of ``sample`` and ``eval`` without damage.
    """

    interrupted: Path
    other: Path
    expected: dict[str, Any]
    outputs: dict[str, str]


class Killer(Reporter):
    """Ends a run in the way of a kill: without saving."""

    def advance(self, step: int, num_chars: int) -> None:
        """Raise an error after the step."""
        if step == KILLED_STEP:
            raise KeyboardInterrupt


class TooSlowError(BaseException):
    """A command takes too long."""


def raise_too_slow(*_: object) -> None:
    """End a command that takes too long."""
    raise TooSlowError


def run_quietly(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command in this process; return its exit status, or -1 after an exception, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    signal.signal(signal.SIGALRM, raise_too_slow)
    signal.alarm(MAX_CASE_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run_command(arguments)
    except BaseException:
        return -1, out.getvalue(), err.getvalue() + traceback.format_exc()
    finally:
        signal.alarm(0)
    return status, out.getvalue(), err.getvalue()


def run_sound(command: str, directory: Path) -> str:
    """Run a command on an undamaged directory, and return what it printed."""
    status, out, err = run_quietly([*COMMANDS[command], str(directory)])
    if status != 0 or has_warning(err):
        raise RuntimeError(f"{command} fails on an undamaged directory: {err}")
    return out


def has_warning(err: str) -> bool:
    """Return whether a command printed a warning, other than about the quality of the model."""
    return any("warning: " in line and "of what the model writes" not in line for line in err.splitlines())


def prepare(folder: Path) -> Originals:
    """Train the original runs."""
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG.format(path=folder / "text.txt", steps=STEPS), encoding="utf-8")
    config = load_config(folder / "config.yaml")
    for name, seed in (("interrupted", 1), ("other", 9)):
        with contextlib.suppress(KeyboardInterrupt), contextlib.redirect_stderr(io.StringIO()):
            reporter = Reporters([make_reporter(folder / name), Killer()])
            train(config.replace("train", seed=seed), folder / name, reporter=reporter)
        event_file = next((folder / name).glob("events*"))
        event_file.rename(folder / name / EVENTS)
    shutil.copytree(folder / "interrupted", folder / "undisturbed")
    outputs = {name: run_sound(name, folder / "undisturbed") for name in ("sample", "eval")}
    run_sound("train", folder / "undisturbed")
    return Originals(folder / "interrupted", folder / "other", read_end(folder / "undisturbed"), outputs)


def damage_some(directory: Path, other: Path, rng: random.Random) -> list[str]:
    """Damage one or two files of a directory; return what was done."""
    done = []
    for name in rng.sample(FILES, rng.choice([1, 1, 2])):
        path = directory / name
        if path.exists():
            damage = remove if path.is_dir() else rng.choice(FILE_DAMAGES)
            damage(path, other / name, rng)
            done.append(f"{damage.__name__} {name}")
    return done


def find_loss(directory: Path) -> float:
    """Return the loss of the best model of a directory; infinite if there is none."""
    with contextlib.suppress(InputError):
        return load_checkpoint(directory / "best.pt").loss_nats or 0.0
    return float("inf")


def judge(command: str, directory: Path, before: bytes | None, originals: Originals) -> str:
    """Run a command on a damaged directory and return how it ended; it begins with ``broken`` if a rule is broken.

    Args:
        command: ``train``, ``sample`` or ``eval``.
        directory: the damaged directory.
        before: the content of best.pt; None if it is not a file.
        originals: what to compare with.
    """
    loss_before = find_loss(directory)
    status, out, err = run_quietly([*COMMANDS[command], str(directory)])
    is_kept = any(path.is_file() and path.read_bytes() == before for path in directory.glob("best.pt*"))
    is_better = find_loss(directory) <= loss_before < float("inf")
    problem = None
    if status not in (0, 1, 2) or "Traceback" in err:
        problem = f"status {status}"
    elif before and not is_kept and not is_better:
        problem = "best.pt is lost"
    elif status > 0:
        problem = None if err.count("Error: ") == 1 and ".." not in err else "the message is not clear"
    elif command == "train" and not is_equal(find_weights(directory), originals.expected["last.pt"]["weights"]):
        problem = "the weights differ"
    elif not has_warning(err) and not is_same(command, directory, out, originals):
        problem = "the result differs without a warning"
    if problem:
        return f"broken: {problem}\n{err}"
    return "refused" if status > 0 else "repaired" if has_warning(err) else "same"


def is_same(command: str, directory: Path, out: str, originals: Originals) -> bool:
    """Return whether a command had the result that it has without damage."""
    if command != "train":
        return out == originals.outputs[command]
    return is_equal(read_end(directory), originals.expected)


def read_end(directory: Path) -> dict[str, Any]:
    """Return both checkpoints and the metrics of a run, without times; samples are neither read nor repaired."""
    checkpoints = {name: vars(load_checkpoint(directory / name)) for name in ("last.pt", "best.pt")}
    vocabularies = [content.pop("vocabulary").to_plain() for content in checkpoints.values()]
    rows = RunDirectory(directory).read_rows()
    end: dict[str, Any] = without_times({**checkpoints, "vocabularies": vocabularies, "rows": rows})
    return end


def find_weights(directory: Path) -> Any:
    """Return the weights at the end of a run; None if they cannot be read."""
    with contextlib.suppress(InputError):
        return load_checkpoint(directory / "last.pt").weights
    return None


def torture(folder: Path, cases: int, seed: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Try random cases; return the number of each end by command, and a description of each broken rule."""
    rng = random.Random(seed)  # noqa: S311  # not for cryptography
    originals = prepare(folder)
    counts: Counter[tuple[str, str]] = Counter()
    broken = []
    for number in range(cases):
        directory = folder / "case"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(originals.interrupted, directory)
        done = damage_some(directory, originals.other, rng)
        command = rng.choice(["train", "train", "sample", "eval"])
        best = directory / "best.pt"
        end = judge(command, directory, best.read_bytes() if best.is_file() else None, originals)
        counts[command, end.split(":")[0]] += 1
        if end.startswith("broken"):
            broken.append(f"case {number}, {' and '.join(done)}, then {command}: {end}")
    return counts, broken


@click.command()
@click.option("--cases", type=click.IntRange(1), default=400, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(cases: int, seed: int) -> None:
    """Damage run directories and check what the commands do; exit with status 1 if a rule is broken."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        counts, broken = torture(Path(folder), cases, seed)
    for description in broken:
        click.echo(description, err=True)
    for (command, end), count in sorted(counts.items()):
        click.echo(f"{command}: {count} {end}")
    click.echo(f"{cases} cases, {len(broken)} broke a rule")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
