"""Prompts: texts that a command line, a file or standard input gives a model to read."""

import sys
from pathlib import Path
from typing import BinaryIO

from charlm.errors import InputError
from charlm.system.reading import open_regular

MAX_PROMPT_BYTES = 1 << 24
"""Of a prompt: more than a model reads in minutes, and so few that any machine has the memory."""


def read_prompt(prompt: str | None, prompt_file: Path | None = None) -> str:
    """Return the prompt; ``-`` as text or as file stands for standard input.

    Raises:
        InputError: the file cannot be read, or the prompt is too long.
    """
    if prompt == "-" or str(prompt_file) == "-":
        return read_standard_input("--prompt -" if prompt == "-" else "--prompt-file -")
    if prompt_file is None:
        return prompt or ""
    try:
        with open_regular(prompt_file) as stream:
            return _decode(stream, f"--prompt-file {prompt_file}")
    except OSError as error:
        raise InputError(f"--prompt-file {prompt_file}: cannot be read: {error.strerror}.") from None


def read_standard_input(option: str) -> str:
    """Return the text of standard input; bytes that are not UTF-8 become lone surrogates.

    Args:
        option: the part of the command line that asks for it, for an error message.

    Raises:
        InputError: the text is too long.
    """
    return _decode(sys.stdin.buffer, option)


def _decode(stream: BinaryIO, option: str) -> str:
    content = stream.read(MAX_PROMPT_BYTES + 1)
    if len(content) > MAX_PROMPT_BYTES:
        raise InputError(f"{option}: too long for a prompt, which takes at most {MAX_PROMPT_BYTES:,} bytes.")
    return content.decode("utf-8", "surrogateescape")
