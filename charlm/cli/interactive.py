"""charlm sample --interactive: a text that a person and a model write in turns.

``input`` with the standard library's readline edits and repeats lines, which is all that one line at a time needs.
"""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from charlm.cli.output import show, write_sample
from charlm.cli.prompt import MAX_PROMPT_BYTES
from charlm.errors import CharlmError, InputError

if TYPE_CHECKING:
    from charlm.inference.sampling import Sampling
    from charlm.inference.trained import TrainedModel
    from charlm.text.vocabulary import OnUnknown

WELCOME = "Type a text, and the model goes on with it. /help shows the commands, Ctrl-C stops the model, Ctrl-D ends."

HELP = r"""TEXT               add TEXT to the history, and let the model go on; \n in it is a line break, \\ a backslash
(empty line)       let the model go on
//TEXT             add a TEXT that begins with a slash
/undo              take back the latest turn
/retry             take back what the model wrote in the latest turn, and let it write something else
/history [TEXT]    print the history, or replace it by TEXT
/clear             begin a new text
/temperature T     now {temperature:g}; 0 always takes the likeliest character
/seed N            now {seed}; grows by 1 with each turn
/length N          now {length}; characters of a turn, 0 for no end but Ctrl-C
/quit              end, as Ctrl-D does"""

PROMPT = "> "


class Dialogue:
    """A text that grows in turns: a line of a person, then the model's continuation.

    Turn n of a seed and a history is the same at every repetition, because the seed grows by 1 with each turn.

    Args:
        trained: the model.
        history: the text that it goes on with.
        length: characters that it writes in a turn; 0 for no end.
        sampling: how it chooses them.
        seed: of the first turn.
        stop: end a turn before this text.
        on_unknown: what to do with characters that the model does not know.
        raw: whether a terminal gets control characters unchanged.
    """

    def __init__(
        self,
        trained: "TrainedModel",
        history: str,
        length: int,
        sampling: "Sampling",
        seed: int,
        stop: str | None,
        on_unknown: "OnUnknown",
        raw: bool,
    ) -> None:
        self.history, self.length, self.sampling, self.seed = history, length, sampling, seed
        self._trained, self._stop, self._on_unknown, self._raw = trained, stop, on_unknown, raw
        self._turns: list[tuple[str, str]] = []  # the history before each turn, and what was typed
        self._commands: dict[str, Callable[[str], None]] = {
            "help": self._help, "undo": self._undo, "retry": self._retry, "history": self._set_history,
            "clear": self._clear, "temperature": self._set_temperature, "seed": self._set_seed,
            "length": self._set_length,
        }  # fmt: skip

    def run(self) -> None:
        """Answer the lines of standard input until its end or ``/quit``.

        Raises:
            CharlmError: a line is wrong, and nobody is there to type another one.
            KeyboardInterrupt: Ctrl-C, if standard input is not a terminal.
        """
        is_watched = sys.stdin.isatty()
        if is_watched:
            show(WELCOME, err=True)
        for line in _read_lines():
            if line.strip() == "/quit":
                return
            try:
                self.answer(line)
            except CharlmError as error:
                if not is_watched:
                    raise
                show(f"{error.label}: {error}", err=True)
            except KeyboardInterrupt:
                if not is_watched:
                    raise
                show()

    def answer(self, line: str) -> None:
        """Carry out one line: a command, or a text that the model goes on with.

        Raises:
            CharlmError: there is no such command, a value is wrong, or the text has an unknown character.
        """
        if not line.startswith("/") or line.startswith("//"):
            self._go_on(_unescape(line.removeprefix("/") if line.startswith("//") else line))
            return
        name, _, argument = line[1:].partition(" ")
        if name not in self._commands:
            raise InputError(f"/{name}: there is no such command; /help shows them, and //{name} is a text.")
        self._commands[name](argument)

    def _go_on(self, text: str) -> None:
        before = self.history
        pieces = self._trained.stream(
            before + text, self.length or None, self.sampling, self.seed, self._stop, self._on_unknown
        )
        self.history = next(pieces)
        self._turns.append((before, text))
        self.seed = (self.seed + 1) % 2**63
        written: list[str] = []
        try:
            for piece in pieces:
                written.append(piece)
                write_sample(piece, self._raw)
        finally:  # also after Ctrl-C
            self.history += "".join(written)
        show()

    def _help(self, _: str) -> None:
        values = {"temperature": self.sampling.temperature, "seed": self.seed, "length": self.length}
        show(HELP.format(**values), err=True)

    def _undo(self, _: str) -> None:
        self._take_back()

    def _retry(self, _: str) -> None:
        self._go_on(self._take_back())

    def _take_back(self) -> str:
        """Undo the latest turn, and return what was typed in it."""
        if not self._turns:
            raise InputError("there is no turn to take back.")
        self.history, typed = self._turns.pop()
        return typed

    def _set_history(self, text: str) -> None:
        if text:
            self.history, self._turns = _unescape(text), []
        else:
            write_sample(f"{self.history}\n", self._raw)

    def _clear(self, _: str) -> None:
        self.history, self._turns = "", []

    def _set_temperature(self, value: str) -> None:
        try:
            temperature = float(value)
        except ValueError:
            raise InputError(f"/temperature: expected a number of at least 0, got {value!r}.") from None
        self.sampling = replace(self.sampling, temperature=temperature)

    def _set_seed(self, value: str) -> None:
        self.seed = _parse_count("seed", value, 2**63 - 1)

    def _set_length(self, value: str) -> None:
        self.length = _parse_count("length", value, 10**12)


def _parse_count(name: str, value: str, most: int) -> int:
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) <= most):
        raise InputError(f"/{name}: expected a whole number from 0 to {most:,}, got {value!r}.")
    return int(digits)


def _unescape(line: str) -> str:
    return re.sub(r"\\([n\\])", lambda match: "\n" if match[1] == "n" else "\\", line)


def _read_lines() -> Iterator[str]:
    r"""Yield the lines of standard input without their ``\n``; Ctrl-C at a terminal drops the line.

    Raises:
        InputError: a line is too long.
    """
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # a model of bytes may take them
    is_edited = sys.stdin.isatty() and sys.stdout.isatty()
    if is_edited:
        with contextlib.suppress(ImportError):  # Windows edits lines without it
            import readline  # noqa: F401
    while True:
        try:
            line = input(PROMPT) if is_edited else _read_line()
        except EOFError:
            if sys.stdin.isatty():
                show(err=True)
            return
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            show("\n/quit or Ctrl-D ends.", err=True)
            continue
        yield line


def _read_line() -> str:
    """Return a line of standard input.

    Raises:
        EOFError: there is none.
        InputError: it is too long.
    """
    if sys.stdin.isatty():
        show(PROMPT, err=True, nl=False)
    line = sys.stdin.readline(MAX_PROMPT_BYTES + 1)
    if not line:
        raise EOFError
    if len(line) > MAX_PROMPT_BYTES:
        raise InputError(f"a line has more than {MAX_PROMPT_BYTES:,} characters; give shorter ones.")
    return line.removesuffix("\n")
