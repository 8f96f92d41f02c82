"""What many runs are and how far they are, from the newest save of each; its tensors are not read.

A look takes milliseconds a run, and finds checkpoints and metrics that are missing, incomplete or of another kind. It
does not find a changed byte in a tensor, and of ``config.yaml`` it sees only that it is there. ``charlm train
--resume`` reads everything.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from charlm.config import Config
from charlm.errors import DamagedError, InputError
from charlm.runs.archive import is_complete, read_outline
from charlm.runs.description import Description, parse_content
from charlm.runs.directory import RunDirectory

State = Literal["finished", "stopped", "running", "damaged"]


@dataclass(frozen=True)
class RunSummary:
    """A run at a glance. What is not known is None; with state ``damaged`` this can be everything.

    Attributes:
        path: the run directory.
        state: ``finished``: all steps were taken, or it is an imported model, which has no more files than ``best.pt``
            and ``config.yaml``; ``running``: a process trains in the directory; ``damaged``: a file is missing or
            cannot be used; ``stopped``: it can be resumed.
        problems: what is wrong with each file that is missing or cannot be used.
        config: its configuration.
        num_parameters: number of parameters of the model.
        step: steps taken, of those that are saved; of those that are logged while it is running.
        last_step: steps of the whole run; fewer than ``train.max_steps`` if it ends early.
        best_loss_nats: lowest validation loss, nats per character; None before the first validation.
        elapsed_s: duration so far in seconds, without interruptions.
    """

    path: Path
    state: State
    problems: list[str]
    config: Config | None = None
    num_parameters: int | None = None
    step: int | None = None
    last_step: int | None = None
    best_loss_nats: float | None = None
    elapsed_s: float | None = None


def find_runs(directory: Path, warn: Callable[[str], None]) -> Iterator[RunDirectory]:
    """Yield the run that a directory holds, or all runs below it in the order of their paths.

    Hidden directories and links to directories are left out.

    Args:
        directory: where to look.
        warn: called with a message for each directory below it that cannot be read.

    Raises:
        InputError: it does not exist, is a file, or cannot be read.
    """
    pending = [directory]
    while pending:
        path = pending.pop()
        try:
            run = RunDirectory(path)
            if run.has_run:
                yield run
            else:
                entries = sorted((entry for entry in path.iterdir() if _is_inner(entry)), reverse=True)
                pending += entries
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problem = f"{path}: cannot be searched for runs: {reason}."
            if path == directory:
                raise InputError(f"{problem} Give a directory that holds runs.") from None
            warn(problem)


def _is_inner(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.is_dir() and not entry.is_symlink()


def summarize(run: RunDirectory) -> RunSummary:
    """Return what is known of a run; nothing that its files contain raises an error."""
    is_running = run.is_running
    summary = RunSummary(run.path, "damaged", [])
    for path in [*filter(Path.exists, run.save_paths), run.best_path]:
        try:
            summary = _read(run, path, summary.problems)
            break
        except InputError as error:
            summary.problems.append(str(error))
        except OSError as error:  # another process has deleted a file meanwhile
            summary.problems.append(f"{path}: cannot be read: {error.strerror}.")
    if is_running:
        return _follow(replace(summary, state="running", problems=[]), run)
    return summary


def _read(run: RunDirectory, path: Path, problems: list[str]) -> RunSummary:
    """Return what a checkpoint says about its run.

    Raises:
        InputError: it is damaged, or cannot be read.
    """
    content = read_outline(path)
    description = parse_content(content, path)
    training = content["training"]
    try:
        last_step, best_loss_nats, elapsed_s = _read_progress(description, training)
        num_parameters = sum(weight.numel() for weight in content["weights"].values())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise DamagedError(f"{path}: its weights or its training state are damaged.") from None
    is_imported = not training and run.config_path.is_file() and not run.metrics_path.exists()  # nothing was lost
    problems = problems + ([] if is_imported else _examine_others(run, training, best_loss_nats is not None))
    is_finished = is_imported or description.step >= last_step
    return RunSummary(
        path=run.path,
        state="damaged" if problems else "finished" if is_finished else "stopped",
        problems=problems,
        config=description.config,
        num_parameters=num_parameters,
        step=description.step,
        last_step=last_step,
        best_loss_nats=best_loss_nats,
        elapsed_s=elapsed_s,
    )


def _read_progress(description: Description, training: dict[str, Any]) -> tuple[int, float | None, float | None]:
    """Return the last step of the run, its lowest loss and its duration, as far as the checkpoint has them.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, IndexError: the training state is damaged.
    """
    max_steps = description.config.train.max_steps
    if not training:  # best.pt
        return max_steps, description.loss_nats, None
    last_step = training["decay"]["end"] if "decay" in training else max_steps  # missing in older checkpoints
    numbers = {"last_step": last_step, "best": training["best"][0], "elapsed_s": training["elapsed_s"]}
    for name, number in numbers.items():
        if type(number) not in (int, float) or not number >= 0:
            raise ValueError(name)
    if type(last_step) is not int or last_step > max_steps:
        raise ValueError("last_step")
    best_loss_nats = float(numbers["best"])  # infinite before the first validation
    return last_step, best_loss_nats if best_loss_nats <= sys.float_info.max else None, float(numbers["elapsed_s"])


def _examine_others(run: RunDirectory, training: dict[str, Any], has_best: bool) -> list[str]:
    """Return what is wrong with the other files of a run."""
    problems = []
    if not run.last_path.exists():
        problems.append(f"{run.last_path}: missing.")
    if not run.config_path.is_file():
        problems.append(f"{run.config_path}: missing.")
    if has_best and not is_complete(run.best_path):
        problems.append(f"{run.best_path}: missing, or not a complete checkpoint.")
    recorded = training.get("metrics", {})  # missing in older checkpoints
    num_bytes: Any = recorded.get("num_bytes", 0) if isinstance(recorded, dict) else 0
    size = run.metrics_path.stat().st_size if run.metrics_path.is_file() else 0
    if type(num_bytes) is int and size < num_bytes:
        problems.append(f"{run.metrics_path}: {size:,} of {num_bytes:,} bytes are there.")
    return problems


def _follow(summary: RunSummary, run: RunDirectory) -> RunSummary:
    """Return a summary of a run in training with what was logged since its last save."""
    try:
        rows = run.read_rows()
    except InputError:
        return summary
    losses = [row["loss_nats"] for row in rows if row["split"] == "val"]
    known = [] if summary.best_loss_nats is None else [summary.best_loss_nats]
    return replace(
        summary,
        step=max([row["step"] for row in rows[-1:]] + [summary.step or 0]),
        best_loss_nats=min(losses + known, default=None),
        elapsed_s=max([row["elapsed_s"] for row in rows[-1:]] + [summary.elapsed_s or 0.0]),
    )
