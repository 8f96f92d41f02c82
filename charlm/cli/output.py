"""Where all messages and results leave the command line: no text can control the terminal that shows it.

Keys, paths, vocabularies and texts are somebody else's. A control character in them could change the colors or the
title of a terminal, hide what stands before it, or reverse the order of what follows.
"""

import io
import sys
from itertools import chain

import click

CONTROLS = chain(range(0x20), range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A))
"""The code points of the control characters: C0, DEL and C1, and those that override the direction of writing."""

ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in CONTROLS}
"""How each control character is shown."""

MAX_MESSAGE = 1000
"""Characters of a message of click's, at most: it repeats the whole value, such as a number of 5,000 digits."""


def escape_controls(text: str, kept: str = "\n") -> str:
    r"""Return a text with its control characters shown as ``\x1b`` or ``\u202e``.

    Args:
        text: the text.
        kept: control characters that stay as they are.
    """
    return text.translate({code: shown for code, shown in ESCAPES.items() if chr(code) not in kept})


def show(text: str = "", err: bool = False, nl: bool = True) -> None:
    """Print a message or a result without control characters, also to a pipe: logs are read in terminals.

    Args:
        text: what to print; its line breaks stay.
        err: whether to print it on stderr instead of stdout.
        nl: whether to end the line.
    """
    click.echo(escape_controls(text), err=err, nl=nl)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    show(f"warning: {message}", err=True)


def show_mistake(error: click.ClickException) -> None:
    """Print an error of click's, such as an unknown option."""
    buffer = io.StringIO()
    error.show(file=buffer)
    message = buffer.getvalue()
    if len(message) > MAX_MESSAGE:
        message = f"{message[: MAX_MESSAGE // 2]} ... {message[-MAX_MESSAGE // 2 :]}"
    show(message, err=True, nl=False)


def write_sample(text: str, raw: bool) -> None:
    """Print what a model wrote, unchanged in a pipe; on a terminal only tabs and line breaks stay control characters.

    Args:
        text: a sample, or a part of one.
        raw: whether a terminal gets it unchanged too.
    """
    is_unchanged = raw or not sys.stdout.isatty()
    click.echo(text if is_unchanged else escape_controls(text, kept="\n\t"), nl=False)
    sys.stdout.flush()
