"""Options that several commands share, and the lists that they take."""

import os
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from charlm.cli.completion import complete_key, complete_run
from charlm.errors import ArgumentError
from charlm.system.reading import require_text_name


class PathType(click.Path):
    """A path on the command line, whose name is text.

    Args:
        file_okay: whether it may be a file.
    """

    def __init__(self, file_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path.

        Raises:
            InputError: it is not valid UTF-8.
        """
        return require_text_name(Path(os.fsdecode(super().convert(value, param, ctx))))


class WholeNumber(click.types.IntParamType):
    """A whole number of at most 64 bits.

    Args:
        least: the smallest number that is allowed; None where the command itself checks it.
    """

    def __init__(self, least: int | None = None) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number.

        Raises:
            BadParameter: it is no whole number, or outside the range.
        """
        if len(str(value)) > MAX_DIGITS:
            self.fail(f"expected a whole number of at most 64 bits, got {reprlib.repr(value)}.", param, ctx)
        number: int = super().convert(value, param, ctx)
        if not -(2**63) <= number < 2**63:
            self.fail(f"expected a whole number of at most 64 bits, got {number}.", param, ctx)
        if self.least is not None and number < self.least:
            self.fail(f"expected a whole number of at least {self.least}, got {number}.", param, ctx)
        return number


MAX_DIGITS = 40
"""Characters of a number on the command line, at most; a message shows a part of a longer one."""

PATH = PathType()
CONFIG = click.argument("config_path", metavar="[CONFIG]", required=False, type=PATH)
RUN = click.argument("run", type=PATH, shell_complete=complete_run)
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
