"""A YAML reader with line numbers that rejects YAML 1.1's ambiguous values.

PyYAML reads ``2e-3`` as a string, ``off`` as False, ``010`` as 8, ``1:30`` as 90, and keeps the last of two equal
keys. This module reads the first as a number and reports each of the others as a problem with its line and a remedy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

Scalar = str | int | float | bool | None
KeyPath = tuple[str, ...]

MAX_DIGITS = 100
"""Digits of a whole number, at most: far above 64 bits. Python itself refuses over 4,300."""

MAX_SHOWN = 80
"""Characters of a value in a message, at most."""

_PLAIN_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_PLAIN_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


@dataclass
class YamlSource:
    """The content of a YAML document with sections of scalars.

    Attributes:
        name: name of the document in error messages, usually its path.
        values: values by section and key.
        lines: line number, from 1, of each section and key.
        values_for_sections: description of the value of each top-level name that has a value instead of keys.
        problems: one message per problem, with its line where known.
    """

    name: str
    values: dict[str, dict[str, Scalar]] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    values_for_sections: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_yaml(text: str, name: str) -> YamlSource:
    """Read a mapping of sections, each a mapping of scalars; errors become problems, never exceptions.

    Args:
        text: the YAML document.
        name: name of the document in error messages.
    """
    source = YamlSource(name)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        source.problems.append(f"{position}invalid YAML: {error.problem or error.context}.")
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        source.problems.append(f"invalid YAML: {reason}.")
    else:
        if root is not None:
            _read_sections(root, source)
    return source


def read_scalar(text: str) -> Scalar:
    """Read one unquoted value as ``read_yaml`` does.

    Raises:
        ValueError: the value is ambiguous in YAML; the message says what to write instead.
    """
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _plain_value(str(tag), text)


class _Dumper(yaml.SafeDumper):
    """Also quotes strings that only this module reads as numbers; escapes special characters, such as line breaks."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"({_PLAIN_FLOAT.pattern})\Z"), list("-+.0123456789")
)


def write_yaml(tree: Mapping[str, Mapping[str, Scalar]]) -> str:
    """Return YAML text that ``read_yaml`` reads back as equal values."""
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _read_sections(root: yaml.Node, source: YamlSource) -> None:
    if not isinstance(root, yaml.MappingNode):
        line = root.start_mark.line + 1
        source.problems.append(f"line {line}: expected sections such as 'train:', got {_describe(root)}.")
        return
    for section, node in _unique_items(root, (), source):
        source.values[section] = {}
        if isinstance(node, yaml.MappingNode):
            for key, leaf in _unique_items(node, (section,), source):
                _read_leaf(leaf, section, key, source)
        elif not (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
            source.values_for_sections[section] = _describe(node)


def _read_leaf(leaf: yaml.Node, section: str, key: str, source: YamlSource) -> None:
    position = f"line {source.lines[section, key]}, {section}.{key}"
    if not isinstance(leaf, yaml.ScalarNode):
        source.problems.append(f"{position}: expected one value, got {_describe(leaf)}.")
        return
    is_quoted = leaf.style is not None
    try:
        source.values[section][key] = leaf.value if is_quoted else _plain_value(leaf.tag, leaf.value)
    except ValueError as error:
        source.problems.append(f"{position}: {error}")


def _unique_items(node: yaml.MappingNode, parent: KeyPath, source: YamlSource) -> list[tuple[str, yaml.Node]]:
    """Return the items of a mapping without repeated keys, and record the line of each key."""
    items = []
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            source.problems.append(f"line {line}: expected a key, got {_describe(key_node)}.")
            continue
        path = (*parent, key_node.value)
        if path in source.lines:
            first = source.lines[path]
            source.problems.append(f"line {line}, {'.'.join(path)}: already set on line {first}; keep one.")
            continue
        source.lines[path] = line
        items.append((key_node.value, value_node))
    return items


def _plain_value(tag: str, text: str) -> Scalar:
    kind, shown = tag.rsplit(":", 1)[-1], shorten(text)
    if kind == "null":
        return None
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"YAML reads {shown} as true or false; write true, false, or quote the word.")
        return text.lower() == "true"
    if kind == "int":
        if not _PLAIN_INT.fullmatch(text):
            raise ValueError(f"YAML reads {shown} as a different number; write it in decimal digits, or quote it.")
        if len(text) > MAX_DIGITS:
            raise ValueError(f"expected a number of at most {MAX_DIGITS} digits, got {shown} with {len(text):,}.")
        return int(text.replace("_", ""))
    if kind == "float" or _PLAIN_FLOAT.fullmatch(text):
        return _float(text)
    return text


def _float(text: str) -> float:
    if ":" in text:
        raise ValueError(f"YAML reads {shorten(text)} as a number in base 60; write it in decimal, or quote it.")
    try:
        return float(text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # a text with the tag !!float
        raise ValueError(f"expected a number, got {shorten(text)!r}.") from None


def shorten(text: str) -> str:
    """Return a text for a message, without the middle of a long one."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]}...{text[-MAX_SHOWN // 2 :]}"


def _describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(shorten(node.value))
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys and values"
