"""The configuration of a run directory: the user's over that of the run, and the copy of it in config.yaml."""

from collections.abc import Iterable
from pathlib import Path

from charlm.config import Config, load_config, parse_config
from charlm.errors import ConfigError, InputError
from charlm.runs.directory import RunDirectory
from charlm.runs.recovery import load_newest

MAX_SHOWN = 3
"""Maximum number of differences in one message."""


def load_run_config(run: RunDirectory, path: Path | None, overrides: Iterable[str], resume: bool) -> Config:
    """Return the configuration to train with in a run directory.

    Args:
        run: where to train.
        path: the user's YAML file; None for none.
        overrides: ``SECTION.KEY=VALUE`` each, applied over the file in their order.
        resume: whether the run that the directory holds continues. The configuration of its newest undamaged save then
            has the values of the keys that neither the file nor the overrides give; the defaults do where there is no
            run yet.

    Raises:
        ConfigError: the YAML, a key or a value is wrong.
        InputError: the file cannot be read, or the directory holds a run without an undamaged save.
    """
    newest = load_newest(run)[0] if resume else None
    return load_config(path, overrides, newest.config if newest else None)


def examine_config(run: RunDirectory, saved: Config) -> str | None:
    """Return what is wrong with the ``config.yaml`` of a run that resumes; None if it says what the run trains with.

    Args:
        run: the run directory.
        saved: the configuration of its newest undamaged save.
    """
    if not run.config_path.exists():
        return f"{run.config_path}: missing."
    try:
        stored = load_config(run.config_path, base=parse_config({}, str(run.config_path)))
    except ConfigError as error:
        return f"{run.config_path}: {' '.join(error.problems)}"
    except InputError as error:
        return str(error)
    differences = [
        f"{key} is {value!r} there and {saved_value!r} in last.pt"
        for key, (value, saved_value) in stored.find_differences(saved).items()
    ]
    more = [f"and {len(differences) - MAX_SHOWN} more differences"] if len(differences) > MAX_SHOWN else []
    return f"{run.config_path}: {'; '.join(differences[:MAX_SHOWN] + more)}." if differences else None
