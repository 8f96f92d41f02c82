"""Checking values against the schema, and saying in words what is wrong with them."""

import difflib
import reprlib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from charlm.config.yaml_source import KeyPath
from charlm.errors import ConfigError

Problem = tuple[KeyPath, str]
"""A key and what is wrong with it."""

Root = TypeVar("Root", bound=BaseModel)
"""A class whose fields are sections, each a class of keys."""

_REPR = reprlib.Repr()
_REPR.maxlevel = 2
_REPR.maxstring = 80


def validate(root: type[Root], tree: dict[str, Any]) -> tuple[list[Problem], Root | None]:
    """Return the problems of a tree of values, section to key to value, or the configuration if it has none."""
    try:
        return [], root.model_validate(tree)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            key = tuple(str(part) for part in item["loc"])
            if item["type"] in ("extra_forbidden", "invalid_key"):
                problems.append((key, describe_unknown(root, key)))
            elif item["type"] == "string_unicode":
                problems.append((key, f"expected text in UTF-8, got {_REPR.repr(item['input'])}."))
            else:
                problems.append((key, f"expected {_expectation(root, *key)}, got {_REPR.repr(item['input'])}."))
        return problems, None


def check(root: type[Root], tree: dict[str, Any], name: str) -> Root:
    """Return the configuration that a tree of values stands for.

    Args:
        root: the configuration's class.
        tree: section to key to value.
        name: what to call the tree in an error.

    Raises:
        ConfigError: a key or a value is wrong; the message holds every problem.
    """
    problems, config = validate(root, tree)
    if config is None:
        raise ConfigError(name, [f"{'.'.join(key)}: {what}" for key, what in problems])
    return config


def describe_unknown(root: type[BaseModel], key: KeyPath) -> str:
    """Say that a key does not exist, and which one was probably meant."""
    close = find_meant(root, key)
    known = list(fields_of(root, key[0])) if len(key) > 1 else list(root.model_fields)
    return f"unknown key. Did you mean {close!r}?" if close else f"unknown key. Known here: {', '.join(known)}."


def find_meant(root: type[BaseModel], key: KeyPath) -> str | None:
    """Return the key that was probably meant: its full name where it stands in another section; None for no idea."""
    full_names = {name: f"{section}.{name}" for section in root.model_fields for name in fields_of(root, section)}
    siblings = list(fields_of(root, key[0])) if len(key) > 1 else list(root.model_fields)
    if key[-1] in full_names:
        return full_names[key[-1]]
    if close := difflib.get_close_matches(key[-1], siblings, n=1):
        return close[0]
    far = difflib.get_close_matches(key[-1], full_names, n=1) if len(key) == 1 else []
    return full_names[far[0]] if far else None


def fields_of(root: type[BaseModel], section: str) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each key of a section; empty for a section that does not exist."""
    if section not in root.model_fields:
        return {}
    section_class: Any = root.model_fields[section].annotation
    properties: dict[str, dict[str, Any]] = section_class.model_json_schema()["properties"]
    return properties


def _expectation(root: type[BaseModel], section: str, key: str = "") -> str:
    """Say in words what a key takes, from its schema."""
    if not key:
        return "keys and values"
    schema = fields_of(root, section)[key]
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "pattern" in schema:
        return str(schema["description"]).rpartition(": ")[2].rstrip(".")
    words = {"integer": "a whole number", "number": "a number", "string": "text"}[schema["type"]]
    lower = {"minLength": "of length at least", "minimum": "of at least", "exclusiveMinimum": "above"}
    upper = {"maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{text} {schema[name]:,}" for name, text in (lower | upper).items() if name in schema]
    return f"{words} {' and '.join(limits)}".rstrip()
