"""Options that several commands share, and the lists that they take."""

from collections.abc import Callable
from pathlib import Path

import click

from charlm.cli.completion import complete_key, complete_run
from charlm.errors import ArgumentError

CONFIG = click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
RUN = click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_run)
SET = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    shell_complete=complete_key,
    help="Override a key, as in model.hidden_size=512.",
)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
ON_UNKNOWN = click.option(
    "--on-unknown",
    type=click.Choice(["error", "skip", "replace"]),
    default="error",
    show_default=True,
    help="What to do with characters of the prompt that the model does not know.",
)


def examples(first: str, second: str) -> str:
    """Return the end of a command's help: two command lines, which click prints as they are."""
    return f"\b\nExamples:\n  {first}\n  {second}"


Numbers = Callable[[click.Context, click.Parameter, str | None], list[int]]


def numbers_from(least: int) -> Numbers:
    """Return an option's callback that reads a list such as ``1,2,3``, each number once; none where it was not given.

    Args:
        least: the smallest number that is allowed.
    """

    def parse(_context: click.Context, _option: click.Parameter, value: str | None) -> list[int]:
        if value is None:
            return []
        parts = [part.strip() for part in value.split(",")]
        numbers = [int(part) for part in parts if part.isdecimal() and len(part) < 20]
        if len(numbers) < len(parts) or min(numbers) < least or len(set(numbers)) < len(numbers):
            raise click.BadParameter(f"expected different numbers of at least {least}, as in 1,2,3; got {value!r}.")
        return numbers

    return parse


def parse_share(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, int]:
    """Return the numbers of ``I/N``, the I-th of N shares."""
    index, _, count = value.partition("/")
    is_number = index.isdecimal() and count.isdecimal() and len(value) < 20
    if not (is_number and 1 <= int(index) <= int(count)):
        raise click.BadParameter(f"expected I/N with I from 1 to N, as in 2/8; got {value!r}.")
    return int(index), int(count)


def name_option(error: ArgumentError, command: click.Command) -> str:
    """Return the message of an error, with the option of a command in place of the parameter that the option sets."""
    options = {option.name: max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)}
    return f"{options.get(error.name, error.name)}: {error.problem}"
