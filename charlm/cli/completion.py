"""Shell completion for bash, zsh and fish: commands and options from click; runs and configuration keys from here.

The shell runs ``charlm`` with the variable ``_CHARLM_COMPLETE``: ``bash_source`` prints the script that the shell
loads, and that script asks for candidates with ``bash_complete``; the same holds for the other shells.
"""

import glob
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from charlm.cli.output import show

VARIABLE = "_CHARLM_COMPLETE"
"""Name of the environment variable, the one that click derives from the program's name."""

RUN_FILES = ("best.pt", "last.pt", "metrics.jsonl")
"""A directory with one of these holds a run; runs/directory.py has their meaning but would load torch."""

EXPORT_FILES = ("model.safetensors",)
"""A directory with one of these holds an exported model, see runs/portable.py."""


def complete(command: click.Command, instruction: str) -> int:
    """Answer a shell and return the exit status.

    Args:
        command: the whole command line.
        instruction: the value of the variable, such as ``bash_source``.
    """
    shell, _, action = instruction.partition("_")
    if get_completion_class(shell) is None or action not in ("source", "complete"):
        show(f"Error: {VARIABLE}={instruction}: expected bash_source, zsh_source or fish_source.", err=True)
        return 2
    return shell_complete(command, {}, "charlm", VARIABLE, instruction)


def complete_run(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[Any]]":
    """Return the directories that hold a run or an export, two levels deep, and checkpoint files; if none, files."""
    found = _find_directories(incomplete, RUN_FILES + EXPORT_FILES) + _find(incomplete, "*.pt")
    return [CompletionItem(path) for path in found] or [CompletionItem(incomplete, type="file")]


def complete_out(context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[Any]]":
    """Return the directories that hold a run after ``--resume``; otherwise, or if there are none, directories."""
    found = _find_directories(incomplete, RUN_FILES) if context.params.get("resume") else []
    return [CompletionItem(path) for path in found] or [CompletionItem(incomplete, type="dir")]


def complete_key(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[Any]]":
    """Return the configuration keys, each with its ``=``; after the ``=``, the values that are known for the key."""
    from charlm.config import Config

    fields = {
        f"{section}.{key}": field for section, group in Config() for key, field in type(group).model_fields.items()
    }
    name, has_value, value = incomplete.partition("=")
    if not has_value:
        items = [CompletionItem(f"{key}=", help=field.description) for key, field in fields.items()]
    elif name in fields and get_origin(fields[name].annotation) is Literal:
        items = [CompletionItem(f"{name}={each}") for each in get_args(fields[name].annotation)]
    elif name == "train.init_from":
        items = [CompletionItem(f"{name}={run}") for run in _find_directories(value, RUN_FILES + EXPORT_FILES)]
    else:
        items = []
    return [item for item in items if item.value.startswith(incomplete)]


def complete_filter(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[Any]]":
    """Return the keys and values of ``complete_key``, and the states of runs."""
    states = [CompletionItem(f"state={state}") for state in ("finished", "stopped", "running", "damaged")]
    return complete_key(context, parameter, incomplete) + [item for item in states if item.value.startswith(incomplete)]


def _find_directories(incomplete: str, names: tuple[str, ...]) -> list[str]:
    """Return the directories that hold a file of one of some names, up to two levels deep."""
    found = [
        path.removesuffix(f"/{name}")
        for depth in ("*", "*/*")
        for name in names
        for path in _find(incomplete, f"{depth}/{name}")
    ]
    return sorted(set(found))


def _find(start: str, pattern: str) -> list[str]:
    return sorted(glob.glob(glob.escape(start) + pattern))  # noqa: PTH207  # Path.glob would drop a leading ./


@add_completion_class
class _BashComplete(BashComplete):
    """Completion in bash, which splits words at ``=`` and ``:`` and would add a space after ``KEY=``."""

    source_template = BashComplete.source_template.replace(
        "elif [[ $type == 'plain' ]]; then",
        "elif [[ $type == 'open' ]]; then\n            compopt -o nospace\n            COMPREPLY+=($value)\n"
        "        elif [[ $type == 'plain' ]]; then",
    )

    _split_off = ""
    """The text before the part of the incomplete word that bash replaces."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete one, and that one, put together as the user typed them."""
        args, last = super().get_completion_args()
        words: list[str] = []
        for word in [*args, last]:
            is_part = word and words and (word[0] in "=:" or words[-1].endswith(("=", ":")))
            words.append(words.pop() + word if is_part else word)
        self._split_off = words[-1].removesuffix(last.lstrip("=:"))
        if self._split_off.startswith("-"):
            self._split_off = self._split_off.partition("=")[2]  # click completes the value of --option=value alone
        return words[:-1], words[-1]

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        """Return the type of a candidate, and the text that replaces the incomplete part."""
        return f"{_choose_type(item)},{item.value.removeprefix(self._split_off)}"


@add_completion_class
class _ZshComplete(ZshComplete):
    """Completion in zsh, which would add a space after ``KEY=``."""

    source_template = ZshComplete.source_template.replace(
        'elif [[ "$type" == "dir" ]]; then',
        'elif [[ "$type" == "open" ]]; then\n            compadd -U -S "" -- "$key"\n'
        '        elif [[ "$type" == "dir" ]]; then',
    )

    def format_completion(self, item: "CompletionItem[Any]") -> str:
        """Return the type, the value and the meaning of a candidate, a line each."""
        return "\n".join([_choose_type(item), *super().format_completion(item).split("\n")[1:]])


def _choose_type(item: "CompletionItem[Any]") -> str:
    """Return ``open`` for a candidate that needs more text, after which the shell adds no space."""
    return "open" if item.type == "plain" and item.value.endswith("=") else item.type
