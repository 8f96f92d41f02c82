"""What a run begins with: new weights, those of a base (``train.init_from``), or those of its own save."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charlm.config import Config, ModelConfig
from charlm.errors import ConfigError, InputError
from charlm.runs.base import Base, read_base
from charlm.runs.checkpoint import Checkpoint
from charlm.runs.directory import RunDirectory
from charlm.runs.recovery import load_newest

SIZES = ("num_layers", "hidden_size", "embed_size")
"""The keys of ``model`` that the base decides where they are not given."""

REMEDY = (
    "Restore it, name a copy of it with --set train.init_from=PATH, or resume without it with --set train.init_from="
)
"""The remedy in errors about the base of a run that resumes."""

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Origin:
    """What a run begins with.

    Attributes:
        config: the configuration, with the sizes and the digest of the base.
        base: the model whose weights the run begins with; None for new weights, and for a run that resumes.
        symbols: symbols that the run knows beside those of its text.
    """

    config: Config
    base: Base | None = None
    symbols: Sequence[str] = ()


def find_origin(config: Config, run: RunDirectory | None, warn: Warn) -> Origin:
    """Read the base that a configuration names, and check that it fits.

    A run that resumes has its weights in its save; its base is read only to see that it has not changed.

    Args:
        config: the configuration as it was given.
        run: the run directory whose run resumes, if it holds one; None for a new run.
        warn: called with a message for each damaged file that is replaced by another, and if the base is gone.

    Raises:
        InputError: the base cannot be read, is another model than it was, or does not fit the configuration.
    """
    if not (config.train.init_from or config.train.init_digest):
        return Origin(config)
    saved = load_newest(run)[0] if run else None
    return _resume(config, saved, warn) if saved else _begin(config, warn)


def _begin(config: Config, warn: Warn) -> Origin:
    if not config.train.init_from:
        raise InputError("train.init_digest: given without train.init_from, whose model it describes. Give both.")
    base = read_base(config.train.init_from, warn)
    if config.train.init_digest not in ("", base.digest):
        raise InputError(
            f"train.init_from: {base.path} is another model than the configuration says: its digest is {base.digest}, "
            f"and train.init_digest is {config.train.init_digest}. Restore the model, or omit train.init_digest."
        )
    config = _take_sizes(config, base.checkpoint.config.model).replace("train", init_digest=base.digest)
    _refuse_misfit(config, base)
    return Origin(config, base, base.checkpoint.vocabulary.symbols if config.data.vocabulary == "union" else ())


def _resume(config: Config, saved: Checkpoint, warn: Warn) -> Origin:
    recorded = saved.config.train.init_digest
    if not recorded:
        raise InputError(
            "train.init_from: the run began with new weights, and cannot take others when it resumes. Omit the key, or "
            "start a new run with another --out."
        )
    if config.train.init_from:
        _refuse_change(config.train.init_from, recorded, warn)
    config = _take_sizes(config, saved.config.model)
    config = config.replace("train", init_digest=config.train.init_digest or recorded)
    return Origin(config, symbols=saved.vocabulary.symbols)


def _refuse_change(path: str, recorded: str, warn: Warn) -> None:
    """Make sure that the base of a run that resumes is the one that it began with.

    Raises:
        InputError: it is another one, or no model any more.
    """
    try:
        base = read_base(path, warn)
    except InputError as error:
        if Path(path).exists():
            raise InputError(f"{error} It was a model when the run began. {REMEDY}") from None
        warn(f"{error} The run resumes without its base, from its own save.")
        return
    if base.digest != recorded:
        raise InputError(
            f"train.init_from: {path} has changed since the run began: its digest was {recorded} and is now "
            f"{base.digest}. {REMEDY}"
        )


def _take_sizes(config: Config, model: ModelConfig) -> Config:
    """Return the configuration with another model's depth and widths where they are not given."""
    missing = {name: getattr(model, name) for name in SIZES if name not in config.model.model_fields_set}
    return config.replace("model", **missing)


def _refuse_misfit(config: Config, base: Base) -> None:
    """Make sure that the weights of the base fit the model.

    Raises:
        ConfigError: a width or the level differs, or the base has more layers.
    """
    before = base.checkpoint.config
    problems = []
    if config.data.level != before.data.level:
        problems.append(f"data.level: expected {before.data.level!r}, got {config.data.level!r}.")
    if config.model.num_layers < before.model.num_layers:
        problems.append(
            f"model.num_layers: expected {before.model.num_layers} or more, because layers can only be added on top, "
            f"got {config.model.num_layers}."
        )
    for name in ("hidden_size", "embed_size"):
        expected, found = getattr(before.model, name), getattr(config.model, name)
        if expected != found:
            problems.append(f"model.{name}: expected {expected:,}, or the key omitted, got {found:,}.")
    if problems:
        raise ConfigError(f"a configuration that begins with the model of {base.path}", problems)
