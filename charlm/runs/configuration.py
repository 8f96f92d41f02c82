"""The configuration to train with in a run directory: the user's, over that of the run that the directory holds."""

from collections.abc import Callable, Iterable
from pathlib import Path

from charlm.config import Config, load_config, parse_config
from charlm.errors import InputError
from charlm.runs.directory import RunDirectory
from charlm.runs.resumption import find_changes

Warn = Callable[[str], None]


def load_run_config(
    run: RunDirectory, path: Path | None, overrides: Iterable[str], resume: bool, warn: Warn = lambda _: None
) -> Config:
    """Return the configuration to train with in a run directory.

    Args:
        run: where to train.
        path: the user's YAML file; None for none.
        overrides: ``SECTION.KEY=VALUE`` each, applied over the file in their order.
        resume: whether the run that the directory holds continues. Its own configuration then has the values of the
            keys that neither the file nor the overrides give; the defaults do where there is no run yet.
        warn: called with a message if ``config.yaml`` cannot be used and the configuration of a checkpoint is.

    Raises:
        ConfigError: the YAML, a key or a value is wrong.
        InputError: the file cannot be read, or the directory holds a run without a readable configuration.
    """
    base = _load_own_config(run, warn) if resume and run.has_run else None
    return load_config(path, overrides, base)


def _load_own_config(run: RunDirectory, warn: Warn) -> Config:
    """Return the configuration of the run: that of its newest undamaged checkpoint, else that of ``config.yaml``.

    ``config.yaml`` is written at every start, so that it is newer than the checkpoint if the run was killed before its
    next save. It is used if it differs only in what may change when a run resumes.

    Raises:
        InputError: neither can be read.
    """
    saved = _load_saved_config(run)
    try:
        stored = _load_stored_config(run, saved)
    except InputError as error:
        if saved is None:
            raise
        warn(f"{error} The configuration of the newest checkpoint is used.")
        return saved
    changes = find_changes(saved, stored) if saved else []
    if saved and changes:
        warn(f"{run.config_path}: {'; '.join(changes)}. The configuration of the newest checkpoint is used.")
        return saved
    return stored


def _load_saved_config(run: RunDirectory) -> Config | None:
    """Return the configuration of the newest undamaged checkpoint; None if there is none.

    Raises:
        InputError: all checkpoints are damaged, and there is no ``config.yaml`` either.
    """
    try:
        checkpoint, _ = run.load_newest(lambda _: None)
    except InputError:
        if not run.config_path.exists():
            raise
        return None
    return checkpoint.config if checkpoint else None


def _load_stored_config(run: RunDirectory, saved: Config | None) -> Config:
    """Return the configuration of ``config.yaml``.

    Args:
        run: the run directory.
        saved: the values of keys that the file lacks because they are newer; None for what runs did before these keys.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    if not run.config_path.exists():
        if saved:
            return saved
        raise InputError(
            f"{run.path}: cannot resume: the run has neither a config.yaml nor a last.pt to resume from. "
            "Restore one of them, or start a new run with another --out."
        )
    return load_config(run.config_path, base=saved or parse_config({}, str(run.config_path)))
