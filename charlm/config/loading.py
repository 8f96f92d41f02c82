"""Reading a configuration: a YAML file and ``--set`` in, every mistake reported at once."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from charlm.config.schema import Config
from charlm.config.validation import Problem, check, describe_unknown, fields_of, find_meant, validate
from charlm.config.yaml_source import KeyPath, YamlSource, read_scalar, read_yaml
from charlm.errors import ConfigError, InputError
from charlm.system.reading import open_regular

MAX_BYTES = 1 << 16
"""Of a configuration file: twenty times what a commented one takes."""

BEFORE_KEYS: dict[str, dict[str, Any]] = {
    "data": {"vocabulary": "union"},
    "model": {"dropconnect": 0.0, "embedding_dropout": 0.0},
    "train": {
        "init_from": "",
        "init_digest": "",
        "average_decay": 0.0,
        "reset_probability": 0.0,
        "patience": 0,
        "decay_frac": 1.0,
    },
}
"""What runs did before a key existed: the values of keys that the configuration of an older run lacks."""


def load_config(path: str | Path | None, overrides: Iterable[str] = (), base: Config | None = None) -> Config:
    """Read a configuration, every mistake reported at once.

    Args:
        path: a YAML file; None for the base alone.
        overrides: ``SECTION.KEY=VALUE`` each, applied over the file in their order.
        base: the values of the keys that are not given; None for the defaults. The keys that neither the arguments nor
            the base give are not in ``model_fields_set`` of their section.

    Raises:
        ConfigError: the YAML, a key or a value is wrong; the message holds every problem.
        InputError: the file cannot be read.
    """
    source = YamlSource("the command line") if path is None else read_yaml(_read_text(Path(path)), str(path))
    places = {key: f"line {line}, " for key, line in source.lines.items()}
    problems = source.problems + _find_values_for_sections(source)
    for override in overrides:
        problems += _apply_override(override, source, places)
    tree: dict[str, dict[str, Any]] = (base or Config()).model_dump(exclude_unset=True)
    wrong, config = validate(Config, tree | {name: tree.get(name, {}) | keys for name, keys in source.values.items()})
    if config is not None:
        wrong = _cross_checks(config)
    problems += [f"{places.get(key, '')}{'.'.join(key)}: {what}" for key, what in wrong]
    if config is None or problems:
        raise ConfigError(source.name, sorted(problems, key=_line))
    return config


def parse_config(tree: dict[str, Any], name: str) -> Config:
    """Check a configuration that a checkpoint holds.

    Args:
        tree: values by section and key; a key that is newer than the run may be missing, and has the value that says
            what runs did before.
        name: what to call the tree in an error.

    Raises:
        ConfigError: a key or a value is wrong.
    """
    return check(Config, _add_later_keys(tree), name)


def _line(problem: str) -> int:
    match = re.match(r"line (\d+)", problem)
    return int(match[1]) if match else 0


def _add_later_keys(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run with the keys that were added after it was written."""
    sections = {name: tree.get(name, {}) for name in BEFORE_KEYS}
    return tree | {name: BEFORE_KEYS[name] | keys for name, keys in sections.items() if isinstance(keys, dict)}


def _read_text(path: Path) -> str:
    try:
        with open_regular(path) as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"{path}: too large for a configuration, which takes at most {MAX_BYTES:,} bytes.")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such configuration file. Without one, the defaults train.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}: {error.reason}); save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read as a configuration: {reason}.") from None


def _find_values_for_sections(source: YamlSource) -> list[str]:
    """Say which sections have a value instead of keys; a name that is no section is told as an unknown key."""
    return [
        f"line {source.lines[name,]}, {name}: expected keys below it, got {found}."
        for name, found in source.values_for_sections.items()
        if name in Config.model_fields
    ]


def _apply_override(override: str, source: YamlSource, places: dict[KeyPath, str]) -> list[str]:
    """Put one ``SECTION.KEY=VALUE`` into the source; return what is wrong with it, if anything."""
    path, equals, text = override.partition("=")
    section, dot, key = path.strip().partition(".")
    if equals and section and not dot and section not in Config.model_fields and find_meant(Config, (section,)):
        return [f"--set {section}: {describe_unknown(Config, (section,))}"]
    if not (equals and dot and section and key):
        return [f"--set {override}: expected SECTION.KEY=VALUE, as in model.hidden_size=512."]
    places[section, key] = "--set "
    places.setdefault((section,), "--set ")
    try:
        value = text if fields_of(Config, section).get(key, {}).get("type") == "string" else read_scalar(text)
        source.values.setdefault(section, {})[key] = value
    except ValueError as error:
        return [f"--set {section}.{key}: {error}"]
    return []


def _cross_checks(config: Config) -> list[Problem]:
    """Return what is wrong between keys that are each right."""
    problems: list[Problem] = []
    held_out = config.data.val_frac + config.data.test_frac
    if held_out >= 1:
        what = f"with test_frac it leaves nothing to train on (together {held_out:g} of 1)."
        problems.append((("data", "val_frac"), what))
    settings = config.train
    has_base = bool(settings.init_from or settings.init_digest)
    if config.data.vocabulary == "text" and (config.data.level == "byte" or not has_base):
        why = "a model of bytes has all 256 symbols" if has_base else "there is no train.init_from"
        problems.append((("data", "vocabulary"), f"'text' has no effect: {why}. Omit the key."))
    # The first validation always lowers the loss; with a base it precedes the first step.
    earliest = (settings.patience + (not has_base)) * settings.eval_every
    if settings.patience > 0 and earliest >= settings.max_steps:
        what = (
            f"with train.eval_every={settings.eval_every} a patience of {settings.patience} can run out after step "
            f"{earliest:,} at the earliest, and train.max_steps is {settings.max_steps:,}. Lower train.eval_every."
        )
        problems.append((("train", "patience"), what))
    return problems
