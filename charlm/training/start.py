"""The start of a run on the disk: the newest save is restored, and the other files are checked against it."""

import math
from functools import partial

from charlm.inference.evaluation import evaluate
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.configuration import examine_config
from charlm.runs.directory import RunDirectory
from charlm.runs.metrics import rewind
from charlm.runs.recovery import examine_best, load_newest
from charlm.system.files import set_aside
from charlm.training.reporter import Reporter
from charlm.training.session import Session
from charlm.training.session_checkpoint import make_checkpoint, restore


def begin(session: Session, run: RunDirectory, reporter: Reporter) -> None:
    """Restore the newest undamaged save, if there is one, and prepare the run directory for the steps after it.

    A damaged file is renamed, replaced where the save or the other files allow it, and reported. A new run is saved at
    once, so that a run that is killed can always resume with its own configuration.

    Raises:
        InputError: all saves are damaged or missing, a file is of another run, or the configuration has changed;
            nothing is written.
        CharlmError: a file cannot be written.
    """
    newest, damaged = load_newest(run, partial(restore, session))
    best_problem = examine_best(run, newest) if newest else None  # before any file is moved
    run.remove_leftovers()
    for path, reason in reversed(damaged.items()):
        renamed = set_aside(path).name
        reporter.warn(f"{reason} Renamed to {renamed}. The run resumes from the previous save, of step {session.step}.")
    if newest is None or _repair(session, run, newest, best_problem, reporter) or newest.config != session.config:
        run.save_last(make_checkpoint(session, is_resumable=True))
    run.write_config(session.config.to_yaml())


def _repair(
    session: Session, run: RunDirectory, newest: Checkpoint, best_problem: str | None, reporter: Reporter
) -> bool:
    """Repair what is damaged beside the newest save; return whether something was that the next save must record."""
    if config_problem := examine_config(run, newest.config):
        done = f" Renamed to {set_aside(run.config_path).name}." if run.config_path.exists() else ""
        reporter.warn(
            f"{config_problem}{done} It is written again from the configuration in last.pt. To change a key, use --set."
        )
    if best_problem:
        done = f" Renamed to {set_aside(run.best_path).name}." if run.best_path.exists() else ""
        reporter.warn(f"{best_problem}{done} {_replace_best(session, run)}")
    metrics_problem = rewind(run.metrics_path, session.step, newest.training.get("metrics"))
    if metrics_problem:
        reporter.warn(metrics_problem)
    return bool(best_problem or metrics_problem)


def _replace_best(session: Session, run: RunDirectory) -> str:
    """Let the restored model be the best one, if a best one was recorded; say what was done."""
    if math.isinf(session.best[0]):
        return "It is written again after the next validation."
    session.last_loss_nats = evaluate(session.shown, session.splits.val).loss_nats
    if session.best[1] != session.step:
        session.best_garbage_frac = None
    session.best = (session.last_loss_nats, session.step)
    run.save_best(make_checkpoint(session, is_resumable=False))
    return f"The model of step {session.step}, with a validation loss of {session.last_loss_nats:.4f}, replaces it."
