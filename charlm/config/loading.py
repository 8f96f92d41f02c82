"""Reading a configuration: a YAML file and ``--set`` in, every mistake reported at once."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from charlm.config.schema import Config, Section
from charlm.config.yaml_source import KeyPath, YamlSource, read_scalar, read_yaml
from charlm.errors import ConfigError, InputError

MAX_BYTES = 1 << 16
"""Of a configuration file: twenty times what a commented one takes."""

BEFORE_KEYS = {"train": {"average_decay": 0.0, "reset_probability": 0.0}}
"""What runs did before a key existed: the values of keys that the configuration of an older run lacks."""

_Problem = tuple[KeyPath, str]

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = 80


def load_config(path: str | Path | None, overrides: Iterable[str] = (), is_stored: bool = False) -> Config:
    """Read a configuration, every mistake reported at once.

    Args:
        path: a YAML file; None for the defaults.
        overrides: ``SECTION.KEY=VALUE`` each, applied over the file in their order.
        is_stored: whether the file is a run's own, in which a key that is newer than the run has no line.

    Raises:
        ConfigError: the YAML, a key or a value is wrong; the message holds every problem.
        InputError: the file cannot be read.
    """
    source = YamlSource("the command line") if path is None else read_yaml(_read_text(Path(path)), str(path))
    places = {key: f"line {line}, " for key, line in source.lines.items()}
    problems = source.problems
    for override in overrides:
        _apply_override(override, source, places)
    wrong, config = _validate(_add_later_keys(source.values) if is_stored else source.values)
    if config is not None:
        wrong = _cross_checks(config)
    problems += [f"{places.get(key, '')}{'.'.join(key)}: {what}" for key, what in wrong]
    if config is None or problems:
        raise ConfigError(source.name, sorted(problems, key=_line))
    return config


def _line(problem: str) -> int:
    match = re.match(r"line (\d+)", problem)
    return int(match[1]) if match else 0


def parse_config(tree: dict[str, Any], name: str) -> Config:
    """Check a configuration that a checkpoint holds.

    Raises:
        ConfigError: a key or a value is wrong.
    """
    problems, config = _validate(_add_later_keys(tree))
    if config is None:
        raise ConfigError(name, [f"{'.'.join(key)}: {what}" for key, what in problems])
    return config


def _add_later_keys(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run with the keys that were added after it was written."""
    sections = {name: tree.get(name, {}) for name in BEFORE_KEYS}
    return tree | {name: BEFORE_KEYS[name] | keys for name, keys in sections.items() if isinstance(keys, dict)}


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
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


def _apply_override(override: str, source: YamlSource, places: dict[KeyPath, str]) -> None:
    """Put one ``SECTION.KEY=VALUE`` into the source, or a problem about it."""
    path, equals, text = override.partition("=")
    section, dot, key = path.strip().partition(".")
    if not (equals and dot and section and key):
        source.problems.append(f"--set {override}: expected SECTION.KEY=VALUE, as in model.hidden_size=512.")
        return
    places[section, key] = "--set "
    places.setdefault((section,), "--set ")
    try:
        value = text if _schema(section, key).get("type") == "string" else read_scalar(text)
        source.values.setdefault(section, {})[key] = value
    except ValueError as error:
        source.problems.append(f"--set {section}.{key}: {error}")


def _validate(tree: dict[str, Any]) -> tuple[list[_Problem], Config | None]:
    """Return the problems of a tree by key, or the configuration."""
    try:
        return [], Config.model_validate(tree)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            key = tuple(str(part) for part in item["loc"])
            if item["type"] in ("extra_forbidden", "invalid_key"):
                problems.append((key, f"unknown key. {_suggest(key)}"))
            else:
                problems.append((key, f"expected {_expectation(*key)}, got {_REPR.repr(item['input'])}."))
        return problems, None


def _suggest(key: KeyPath) -> str:
    section = Config.model_fields.get(key[0])
    fields = Config.model_fields if section is None or len(key) == 1 else _fields(key[0])
    close = difflib.get_close_matches(key[-1], fields, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(fields)}."


def _fields(section: str) -> dict[str, Any]:
    return dict(_section_class(section).model_fields)


def _section_class(section: str) -> type[Section]:
    annotation: Any = Config.model_fields[section].annotation
    return annotation  # type: ignore[no-any-return]  # Config's fields are sections


def _schema(section: str, key: str) -> dict[str, Any]:
    """Return the JSON schema of one key, empty for a key that does not exist."""
    if section not in Config.model_fields or key not in _fields(section):
        return {}
    properties: dict[str, dict[str, Any]] = _section_class(section).model_json_schema()["properties"]
    return properties[key]


def _expectation(section: str, key: str = "") -> str:
    """Say in words what a key takes, from its schema."""
    if not key:
        return "keys and values"
    schema = _schema(section, key)
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern" in schema:
        return str(schema["description"]).rpartition(": ")[2].rstrip(".")
    words = {"integer": "a whole number", "number": "a number", "string": "text"}[schema["type"]]
    lower = {"minLength": "of length at least", "minimum": "of at least", "exclusiveMinimum": "above"}
    upper = {"maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{text} {schema[name]:,}" for name, text in (lower | upper).items() if name in schema]
    return f"{words} {' and '.join(limits)}".rstrip()


def _cross_checks(config: Config) -> list[_Problem]:
    """Return what is wrong between keys that are each right."""
    held_out = config.data.val_frac + config.data.test_frac
    if held_out >= 1:
        return [(("data", "val_frac"), f"with test_frac it leaves nothing to train on (together {held_out:g} of 1).")]
    return []
