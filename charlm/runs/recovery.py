"""Which checkpoint of a run directory is used: the best model or the newest save, and another where one is damaged."""

import contextlib
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from charlm.errors import DamagedError, InputError
from charlm.runs.checkpoint import Checkpoint, load_checkpoint
from charlm.runs.directory import RunDirectory
from charlm.runs.resumption import find_changes

Loaded = tuple[Checkpoint | None, dict[Path, str]]
"""The first undamaged checkpoint, or None if no file exists, and the error of each damaged file before it."""


def accept_all(_: Checkpoint) -> None:
    """Reject no checkpoint."""


def load_newest(run: RunDirectory, accept: Callable[[Checkpoint], None] = accept_all) -> Loaded:
    """Return the newest undamaged save of a run, and the error of each newer, damaged save.

    Args:
        run: the run directory.
        accept: called with each readable checkpoint; raises DamagedError to reject it.

    Raises:
        InputError: all saves are damaged; there is no save although there are other files of a run; or ``accept``
            raised it.
    """
    run.refuse_remains()
    return _load_first_sound(run.save_paths, accept)


def load_best(run: RunDirectory) -> tuple[Checkpoint, dict[Path, str]]:
    """Return the best model of a run, or if it is damaged or missing the newest undamaged save.

    Returns:
        The checkpoint; and a dictionary with what is wrong with each file that was skipped.

    Raises:
        InputError: there is no checkpoint, all are damaged, or the best model is of another run than the saves.
    """
    checkpoint, damaged = _load_first_sound([run.best_path, *run.save_paths])
    if checkpoint is None:
        below = sorted(str(path.parent) for path in run.path.glob("*/best.pt"))[:3]
        remedy = f"Give a run in it, such as {' or '.join(below)}" if below else f"Train into it with --out {run.path}"
        raise InputError(f"{run.path}: this directory holds no checkpoint (best.pt or last.pt). {remedy}.")
    if not run.best_path.exists():
        if _has_best(checkpoint):
            damaged = {run.best_path: _missing(run.best_path)} | damaged
    elif run.best_path not in damaged:
        newest = None
        with contextlib.suppress(InputError):  # the saves are not needed if best.pt is undamaged
            newest, _ = _load_first_sound(run.save_paths)
        if newest is not None:
            _refuse_other_run(run, checkpoint, newest)
    return checkpoint, damaged


def examine_best(run: RunDirectory, newest: Checkpoint) -> str | None:
    """Return what is wrong with the best model of a run; None if it is undamaged, or if there is none yet.

    Args:
        run: the run directory.
        newest: its newest undamaged save.

    Raises:
        InputError: the best model is of another run.
    """
    if not run.best_path.exists():
        return _missing(run.best_path) if _has_best(newest) else None
    try:
        best = load_checkpoint(run.best_path)
    except DamagedError as error:
        return str(error)
    _refuse_other_run(run, best, newest)
    return None


def _load_first_sound(paths: Iterable[Path], accept: Callable[[Checkpoint], None] = accept_all) -> Loaded:
    """Return the first undamaged checkpoint of a list of paths, of which some may not exist.

    Raises:
        InputError: files exist, but all are damaged; or one cannot be read for another reason, such as a missing
            permission or a newer format, in which case none is skipped; or ``accept`` raised it.
    """
    damaged: dict[Path, str] = {}
    for path in filter(Path.exists, paths):
        try:
            checkpoint = load_checkpoint(path)
        except DamagedError as error:
            damaged[path] = str(error)
            continue
        try:
            accept(checkpoint)
        except DamagedError as error:
            damaged[path] = f"{path}: {error}"
            continue
        return checkpoint, damaged
    if damaged:
        raise InputError("all checkpoints of the run are damaged.\n  " + "\n  ".join(damaged.values()))
    return None, damaged


def _has_best(save: Checkpoint) -> bool:
    """Return whether a best model was saved before this save was."""
    best = save.training.get("best")
    return isinstance(best, list) and len(best) == 2 and type(best[0]) is float and math.isfinite(best[0])


def _missing(path: Path) -> str:
    return f"{path}: missing, although the run has saved it."


def _refuse_other_run(run: RunDirectory, best: Checkpoint, newest: Checkpoint) -> None:
    changes = find_changes(best.config, newest.config)
    if best.corpus_digest != newest.corpus_digest:
        changes.append("the text is another one")
    if changes:
        raise InputError(
            f"{run.path}: best.pt and last.pt are of different runs: from best.pt to last.pt, {'; '.join(changes)}. "
            "Move the file that does not belong to this run to another directory."
        )
