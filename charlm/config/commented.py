"""YAML with a comment above each key, as a person would write it."""

import re
import textwrap
from collections.abc import Mapping

from charlm.config.schema import Config
from charlm.config.yaml_source import write_yaml

LINE_LENGTH = 110


def write_commented(config: Config, reasons: Mapping[str, str], title: str) -> str:
    """Return YAML with some keys of a configuration, each below its meaning and the reason for its value.

    Args:
        config: the values.
        reasons: a sentence, or nothing, for each key that is written, such as ``model.hidden_size``.
        title: the comment above all of them.
    """
    meanings = {
        f"{name}.{key}": field.description for name, keys in config for key, field in type(keys).model_fields.items()
    }
    chosen = {name: {key: value for key, value in keys if f"{name}.{key}" in reasons} for name, keys in config}
    lines, section = [f"# {title}"], ""
    for line in write_yaml({name: keys for name, keys in chosen.items() if keys}).splitlines():
        if match := re.match(r"(\w+):$", line):
            section = match[1]
            lines.append("")
        elif match := re.match(r"  (\w+):", line):
            name = f"{section}.{match[1]}"
            comment = f"{meanings[name]} {reasons[name]}".strip()
            lines += textwrap.wrap(comment, LINE_LENGTH, initial_indent="  # ", subsequent_indent="  # ")
        lines.append(line)
    return "\n".join(lines) + "\n"
